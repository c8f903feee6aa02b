/** What is refused, with a line that says what and where; and that nothing a file says can do more than that. */
import assert from 'node:assert/strict'
import { Binary, DateMillisecond, Decimal, DenseUnion, Dictionary, Duration, Field, FixedSizeBinary, Int16, Int32, List, MetadataVersion, Null, Struct, Time, TimeUnit, Utf8, type DataType } from 'apache-arrow'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { ARROW_FILE, ARROW_STREAM } from '../../../../../daemon/block-convert/tables/constants.ts'
import { tableConverters } from '../../../../../daemon/block-convert/tables/converters.ts'
import { tables } from '../../../../../daemon/block-convert/tables/index.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { conversionOf, convertBlocks, rowsOf, splitAll, withFolder, writeInput } from '../cases.ts'
import { scalars, type Cell } from './columns.ts'
import { ipc, type RawColumn } from './ipc.ts'
import { build, tableCase } from './table.ts'

const converter = tableConverters.find(({ id }) => id === 'table/arrow-arrow')!

/** Everything that is done with a file, from the first look at it to the whole output. */
async function through (bytes: Uint8Array): Promise<unknown[][]> {
  return await withFolder(async folder => {
    const input = await writeInput(folder, 'in.arrow', bytes, ARROW_FILE)
    const params = (await tables.prepare([input], converter, {}, {})).parameters as unknown as TableParameters
    const conversion = conversionOf(converter.id, params)
    const recipes = await splitAll([input], conversion, 1000)
    const path = await convertBlocks(folder, [input], conversion, recipes)
    const rows = await rowsOf(input.path, params.source, params.columns, { side: 'source' })
    assert.deepEqual(await rowsOf(path, params.target, params.columns, { side: 'result' }), rows)
    return rows
  })
}

const numbers = scalars.find(({ name }) => name === 'int32')!
const words = scalars.find(({ name }) => name === 'utf8')!
const cells = Array.from({ length: 20 }, (_, i): Cell[] => [{ raw: BigInt(i), value: i }, { raw: Buffer.from(`word ${i}, a long one`), value: `word ${i}, a long one` }])
const sound = build([numbers, words], [cells], { container: 'file' }, false).bytes
const stream = build([numbers, words], [cells], { container: 'stream' }, false).bytes

const empty: RawColumn = { rows: 0, nulls: 0, buffers: [new Uint8Array(0), new Uint8Array(0)], children: [] }
/** A stream of one column of which nothing but the schema matters. */
const only = (...fields: Array<Field | DataType>): Uint8Array => ipc(fields.map((field, i) => field instanceof Field ? field : new Field(`c ${i}`, field, true)), [], { container: 'stream' })
const of = (type: DataType, buffers: Uint8Array[], rows = 1, children: RawColumn[] = []): Uint8Array => ipc([new Field('x', type, true)], [{ rows, columns: [{ ...empty, rows, buffers, children }] }], { container: 'stream' })
const int64 = (...values: bigint[]): Uint8Array => new Uint8Array(BigInt64Array.from(values).buffer)
const int32 = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer)
const none = new Uint8Array(0)

describe('arrow: what is refused', function () {
  this.timeout(60_000)

  const cases: Array<[string, Uint8Array, ConversionError['code'], RegExp]> = [
    ['0 bytes', none, 'bad-input', /is empty/],
    ['nothing but the magic', Buffer.from('ARROW1\0\0'), 'bad-input', /middle of a message|cut off/],
    ['a file that is cut off', sound.subarray(0, sound.length - 1), 'bad-input', /cut off/],
    ['a stream that is cut off', stream.subarray(0, stream.length - 20), 'bad-input', /cut off/],
    ['something else', Buffer.from('id,name\n1,a\n'), 'bad-input', /not sound Arrow IPC/],
    ['Feather of version 1', Buffer.from('FEA1abcdefghFEA1'), 'unsupported', /version 1/],
    ['two streams in one file', Buffer.concat([stream, stream]), 'unsupported', /goes on for \d+ bytes/],
    ['two schemas in one stream', Buffer.concat([stream.subarray(0, stream.length - 8), stream]), 'unsupported', /second schema/],
    ['no columns', only(), 'unsupported', /no columns/],
    ['a column without a name', only(new Field('', new Int32(), true)), 'unsupported', /without a name/],
    ['two columns of one name', only(new Field('a', new Int32(), true), new Field('a', new Int32(), true)), 'unsupported', /two columns 'a'/],
    ['names that differ only in case', only(new Field('a', new Int32(), true), new Field('A', new Utf8(), true)), 'unsupported', /differ only in case/],
    ['metadata of version 3', ipc([new Field('x', new Int32(), true)], [], { container: 'stream', version: MetadataVersion.V3 }), 'unsupported', /version 3/],
    ['a union', only(new DenseUnion(Int32Array.of(0), [new Field('a', new Int32(), true)])), 'unsupported', /'c 0' is a union/],
    ['decimals of 39 digits', only(new Decimal(2, 39, 256)), 'unsupported', /39 digits/],
    ['decimals of negative scale', only(new Decimal(-2, 10, 128)), 'unsupported', /-2 of them after the point/],
    ['a struct without fields', only(new Struct([])), 'unsupported', /without fields/],
    ['a struct with two equal names', only(new Struct([new Field('a', new Int32(), true), new Field('A', new Int32(), true)])), 'unsupported', /same name/],
    ['a dictionary of lists', only(new Dictionary(new List(new Field('item', new Int32(), true)), new Int32() as never, 0)), 'unsupported', /nested values/],
    ['a time of 32 bits in nanoseconds', only(new Time(TimeUnit.NANOSECOND, 32)), 'unsupported', /impossible/],
    ['lists of lists of lists ...', only(Array.from({ length: 70 }).reduce<DataType>(type => new List(new Field('item', type, true)), new Int32())), 'unsupported', /nested more than/],
    ['a text that is not UTF-8', of(new Utf8(), [none, int32(0, 2), Buffer.from([0xff, 0xfe])]), 'bad-input', /UTF-8/],
    ['a text that ends within a character', of(new Utf8(), [none, int32(0, 1, 2), Buffer.from('ä')], 2), 'bad-input', /UTF-8/],
    ['offsets that go backwards', of(new Utf8(), [none, int32(0, 3, 1), Buffer.from('abc')], 2), 'bad-input', /go backwards/],
    ['offsets behind the text', of(new Utf8(), [none, int32(0, 9), Buffer.from('abc')]), 'bad-input', /outside/],
    ['negative offsets', of(new Utf8(), [none, int32(-8, 3), Buffer.from('abc')]), 'bad-input', /outside/],
    ['too few offsets', of(new Binary(), [none, int32(0), Buffer.from('abc')], 2), 'bad-input', /has 4 bytes where 12/],
    ['too few values', of(new Int32(), [none, int32(0)], 5), 'bad-input', /has 4 bytes where 20/],
    ['a column too few', ipc([new Field('x', new Int32(), true), new Field('y', new Int32(), true)], [{ rows: 1, columns: [{ ...empty, rows: 1, buffers: [none, int32(1)] }] }], { container: 'stream' }), 'bad-input', /fewer columns/],
    ['a column too many', ipc([new Field('x', new Int32(), true)], [{ rows: 1, columns: [1, 2].map(() => ({ ...empty, rows: 1, buffers: [none, int32(1)] })) }], { container: 'stream' }), 'bad-input', /more columns/],
    ['columns of different length', ipc([new Field('x', new Int32(), true)], [{ rows: 2, columns: [{ ...empty, rows: 1, buffers: [none, int32(1)] }] }], { container: 'stream' }), 'bad-input', /1 values for 2 rows/],
    ['a decimal of too many digits', of(new Decimal(1, 3, 128), [none, int64(1000n, 0n)]), 'unsupported', /'x' holds a decimal \(1000 unscaled\) of more than 3 digits/],
    ['a time that is none', of(new Time(TimeUnit.MICROSECOND, 64), [none, int64(-1n)]), 'unsupported', /'x' holds a time \(-1\) that is no time of day/],
    ['an index without a value', ipc([new Field('x', new Dictionary(new Utf8(), new Int16() as never, 0), true)], [{ id: 0, delta: false, column: { ...empty, rows: 1, buffers: [none, int32(0, 1), Buffer.from('a')] } }, { rows: 1, columns: [{ ...empty, rows: 1, buffers: [none, Buffer.from([7, 0])] }] }], { container: 'stream' }), 'bad-input', /outside of it/],
    ['a dictionary of nobody', ipc([new Field('x', new Int32(), true)], [{ id: 3, delta: false, column: { ...empty, rows: 1, buffers: [none, int32(1)] } }, { rows: 1, columns: [{ ...empty, rows: 1, buffers: [none, int32(1)] }] }], { container: 'stream' }), 'bad-input', /no column refers to/],
    ['an addition to no dictionary', ipc([new Field('x', new Dictionary(new Utf8(), new Int16() as never, 0), true)], [{ id: 0, delta: true, column: { ...empty, rows: 1, buffers: [none, int32(0, 1), Buffer.from('a')] } }, { rows: 1, columns: [{ ...empty, rows: 1, buffers: [none, Buffer.from([0, 0])] }] }], { container: 'stream' }), 'bad-input', /before there is one/],
    ['a date too far away', of(new DateMillisecond(), [none, int64(2n ** 62n - (2n ** 62n % 86_400_000n))]), 'unsupported', /too far away/]
  ]
  for (const [what, bytes, code, message] of cases) {
    it(what, async () => {
      await assert.rejects(through(bytes), (error: unknown) => {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        assert.equal(error.code, code, error.message)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /\n/)
        return true
      })
    })
  }

  it('a compressed buffer that announces far more than it has', async () => {
    const bytes = Buffer.from(ipc([new Field('x', new FixedSizeBinary(8), true)], [{ rows: 64, columns: [{ ...empty, rows: 64, buffers: [none, new Uint8Array(512)] }] }], { container: 'stream', codec: 'zstd' }))
    const size = Buffer.alloc(8)
    size.writeBigInt64LE(512n)
    const at = bytes.lastIndexOf(size)
    for (const [announced, message] of [[2n ** 50n, /announce more than/], [4096n, /instead of 4096/], [64n, /64|unpacked/]] as const) {
      bytes.writeBigInt64LE(announced, at)
      await assert.rejects(through(bytes), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input' && (message.test(error.message) || /where 512/.test(error.message)))
    }
  })

  it('no column of nothing but NULL', async () => {
    assert.deepEqual(await through(ipc([new Field('x', new Null(), true)], [{ rows: 3, columns: [{ rows: 3, nulls: 3, buffers: [], children: [] }] }], { container: 'file' })), [[null], [null], [null]])
  })

  it('durations and times of nanoseconds are counts where microseconds do not hold them', async () => {
    assert.deepEqual(await through(of(new Duration(TimeUnit.NANOSECOND), [none, int64(1500n, 1n)], 2)), [[1500], [1]])
    assert.deepEqual(await through(of(new Duration(TimeUnit.NANOSECOND), [none, int64(15000n, 1000n)], 2)), [['0/0/15'], ['0/0/1']])
    assert.deepEqual(await through(of(new Time(TimeUnit.NANOSECOND, 64), [none, int64(1500n)])), [[1500]])
  })

  it('any cut of a file or stream', async () => {
    for (const bytes of [sound, stream]) {
      for (let end = 0; end < bytes.length - 8; end += 7) {
        // A stream may end after any whole message.
        const rows = await through(bytes.subarray(0, end)).catch((error: unknown) => error)
        if (Array.isArray(rows)) assert.equal(rows.length % 20, 0)
        else assert.ok(rows instanceof ConversionError && rows.code === 'bad-input', String(rows))
      }
    }
  })

  it('any change of bytes: nothing else comes of it than rows or a ConversionError', async () => {
    await fc.assert(fc.asyncProperty(tableCase(6), fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 127, 128, 255, -1), fc.nat(255)), { minLength: 1, maxLength: 3 }), async (table, changes) => {
      const bytes = new Uint8Array(table.bytes)
      for (const [at, byte, other] of changes) bytes[at % bytes.length] = byte < 0 ? other : byte
      await through(bytes).catch((error: unknown) => { assert.ok(error instanceof ConversionError && error.code !== 'engine', String((error as Error).stack)) })
    }), { numRuns: Number(process.env.WEFT_LAW_RUNS ?? 40) })
  })

  it('a stream by its other name', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.arrows', sound, ARROW_STREAM)
    const { parameters } = await tables.prepare([input], tableConverters.find(({ id }) => id === 'table/arrows-csv')!, {}, {})
    assert.deepEqual((parameters as unknown as TableParameters).columns, [{ name: 'c 0', type: 'INTEGER' }, { name: 'c 1', type: 'VARCHAR' }])
  }))
})
