import assert from 'node:assert/strict'
import { openSync, readSync, fstatSync, closeSync } from 'node:fs'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { THRIFT_DEPTH_MAX } from '../../../../../daemon/block-convert/tables/parquet/limits.ts'
import { serializeThrift, serializeThriftWith } from '../../../../../daemon/block-convert/tables/parquet/thrift-writer.ts'
import { dropFields, getField, parseThrift, setField, T, type ThriftField, type ThriftStruct, type ThriftValue } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'
import { Duck, EVERY_TYPE, FLIGHTS } from '../readers/duck.ts'

function footerBytes (path: string): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const tail = Buffer.alloc(8)
    readSync(fd, tail, 0, 8, size - 8)
    const footer = new Uint8Array(tail.readUInt32LE(0))
    readSync(fd, footer, 0, footer.length, size - 8 - footer.length)
    return footer
  } finally {
    closeSync(fd)
  }
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)
const refused = (input: Uint8Array): void => {
  assert.throws(() => parseThrift(input), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input')
}

/** Any tree the codec can hold, as [wire type, value]. */
const typed: fc.Arbitrary<[number, ThriftValue]> = fc.letrec<{ typed: [number, ThriftValue], struct: ThriftStruct }>(tie => ({
  struct: fc.array(fc.tuple(fc.integer({ min: -32768, max: 32767 }), tie('typed')), { maxLength: 6 }).map(list => ({
    fields: list.map(([id, [type, value]]): ThriftField => ({ id, type, value }))
  })),
  typed: fc.oneof({ depthSize: 'small', withCrossShrink: true },
    fc.boolean().map((value): [number, ThriftValue] => [value ? T.TRUE : T.FALSE, value]),
    fc.integer({ min: 0, max: 255 }).map((value): [number, ThriftValue] => [T.BYTE, value]),
    fc.integer({ min: -32768, max: 32767 }).map((value): [number, ThriftValue] => [T.I16, value]),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value): [number, ThriftValue] => [T.I32, value]),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value): [number, ThriftValue] => [T.I64, value]),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((value): [number, ThriftValue] => [T.DOUBLE, value]),
    fc.uint8Array({ maxLength: 20 }).map((value): [number, ThriftValue] => [T.BINARY, value]),
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((value): [number, ThriftValue] => [T.UUID, value]),
    fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 20 }).map((values): [number, ThriftValue] => [T.LIST, { elements: T.I32, values }]),
    fc.array(tie('struct'), { maxLength: 3 }).map((values): [number, ThriftValue] => [T.LIST, { elements: T.STRUCT, values }]),
    fc.uint8Array({ maxLength: 20 }).map((values): [number, ThriftValue] => [T.SET, { elements: T.TRUE, values }]),
    fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 })
      .map((entries): [number, ThriftValue] => [T.MAP, { keys: T.I32, values: T.TRUE, entries }]),
    tie('struct').map((value): [number, ThriftValue] => [T.STRUCT, value])
  )
})).typed

describe('thrift', () => {
  it('gives real footers back byte for byte', async () => {
    const duck = await Duck.open()
    try {
      const every = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
      const empty = await duck.copy('select 1 a where false', 'empty.parquet', 'format parquet')
      for (const path of [FLIGHTS, every, empty]) {
        const footer = footerBytes(path)
        const { struct, end } = parseThrift(footer)
        assert.equal(end, footer.length)
        assert.deepEqual(serializeThrift(struct), footer)
      }
    } finally {
      duck.close()
    }
  })

  it('gives any tree back', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: -32768, max: 32767 }), typed), { maxLength: 8 }), list => {
      const struct = { fields: list.map(([id, [type, value]]): ThriftField => ({ id, type, value })) }
      const written = serializeThrift(struct)
      const { struct: again, end } = parseThrift(written)
      assert.equal(end, written.length)
      assert.deepEqual(again, struct)
    }), { numRuns: 300 })
  })

  it('reads a struct in the middle of other bytes and tells where it ends', () => {
    const { struct, end } = parseThrift(bytes(9, 9, 0x15, 0x04, 0x00, 7), 2)
    assert.equal(end, 5)
    assert.equal(getField(struct, 1)?.value, 2)
  })

  it('refuses what is malformed', () => {
    refused(bytes())                                              // no end
    refused(bytes(0x15))                                          // no value
    refused(bytes(0x1e, 0))                                       // unknown type 14
    refused(bytes(0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0))   // 42 bits for an I32
    refused(bytes(0x14, 0x80, 0x80, 0x08, 0))                     // 17 bits for an I16
    refused(bytes(0x16, ...new Array<number>(10).fill(0xff), 1, 0))
    refused(bytes(0x18, 0x7f, 1, 2, 0))                           // 127 bytes announced
    refused(bytes(0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0))   // four billion structs announced
    refused(bytes(0x19, 0xf0, 0x01, 0, 0))                        // a list of nothing
    refused(bytes(0x1b, 0xff, 0xff, 0x03, 0x55, 0))               // 65535 entries announced
  })

  it('refuses to nest without end', () => {
    const deep = (depth: number): Uint8Array => new Uint8Array(2 * depth + 1).fill(0x1c, 0, depth)
    assert.equal(parseThrift(deep(THRIFT_DEPTH_MAX - 1)).end, 2 * THRIFT_DEPTH_MAX - 1)
    refused(deep(THRIFT_DEPTH_MAX))
    refused(deep(100_000))
    refused(new Uint8Array(100_000).fill(0x19))
  })

  it('answers every mutation of a footer with a tree or bad-input', async () => {
    const duck = await Duck.open()
    const footer = footerBytes(await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet'))
    duck.close()
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat(footer.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.option(fc.nat(footer.length), { nil: undefined }),
      (changes, length) => {
        const mutant = footer.slice(0, length)
        for (const [at, value] of changes) if (at < mutant.length) mutant[at] = value
        try {
          parseThrift(mutant)
        } catch (error) {
          assert.ok(error instanceof ConversionError, String(error))
          assert.equal(error.code, 'bad-input')
        }
      }), { numRuns: 2000 })
  })

  it('adds, replaces and drops fields in order of ids', () => {
    const struct: ThriftStruct = { fields: [] }
    setField(struct, 5, T.I32, 50)
    setField(struct, 2, T.I32, 20)
    setField(struct, 9, T.I64, 90n)
    setField(struct, 5, T.I32, 55)
    assert.deepEqual(struct.fields.map(field => [field.id, field.value]), [[2, 20], [5, 55], [9, 90n]])
    dropFields(struct, [5, 7])
    assert.deepEqual(struct.fields.map(field => field.id), [2, 9])
  })

  it('writes a list from serialised elements as it would from a tree', () => {
    const element = (value: number): ThriftStruct => ({ fields: [{ id: 1, type: T.I32, value }] })
    for (const count of [0, 1, 14, 15, 300]) {
      const values = Array.from({ length: count }, (_, i) => element(i))
      const tree = (list: ThriftStruct[]): ThriftStruct => ({ fields: [
        { id: 1, type: T.TRUE, value: true },
        { id: 4, type: T.LIST, value: { elements: T.STRUCT, values: list } },
        { id: 30, type: T.BINARY, value: bytes(1, 2) }
      ] })
      assert.deepEqual(serializeThriftWith(tree([]), 4, values.map(serializeThrift)), serializeThrift(tree(values)))
    }
  })
})
