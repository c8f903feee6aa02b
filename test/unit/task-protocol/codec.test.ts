import assert from 'node:assert/strict'
import fc from 'fast-check'
import { message, oneOf } from '../../../daemon/task-protocol/codec.ts'
import { ProtocolError, type ProtocolErrorCode } from '../../../daemon/task-protocol/errors.ts'
import { Reader, varintLength, Writer } from '../../../daemon/task-protocol/wire.ts'

interface Inner { n: number }
interface Sample { n: number, flag: boolean, data: Uint8Array, exact: Uint8Array, text: string, kind: string, inner?: Inner, maybe?: number, list: Inner[], need: Uint8Array }

const inner = message<Inner>('Inner', { n: { number: 1, type: 'uint', max: 1000 } })
const sample = message<Sample>('Sample', {
  n: { number: 1, type: 'uint', max: 300 },
  flag: { number: 2, type: 'bool' },
  data: { number: 3, type: 'bytes', max: 4 },
  exact: { number: 4, type: 'bytes', max: 2, exact: true },
  text: { number: 5, type: 'string', max: 6 },
  kind: { number: 6, type: 'enum', values: ['a', 'b'], required: true },
  inner: { number: 7, type: 'message', codec: inner, max: 8, optional: true },
  maybe: { number: 8, type: 'uint', max: Number.MAX_SAFE_INTEGER, optional: true },
  list: { number: 9, type: 'message', codec: inner, max: 8, repeated: 2 },
  need: { number: 20, type: 'bytes', max: 3, required: true }
})

const base: Sample = { n: 0, flag: false, data: Buffer.alloc(0), exact: Buffer.alloc(0), text: '', kind: 'a', list: [], need: Buffer.from([9]) }
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const from = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex')
const throwsCode = (code: ProtocolErrorCode, act: () => unknown): void => {
  assert.throws(act, error => error instanceof ProtocolError && error.code === code, `expected ${code}`)
}

/** The required fields, and then what the test is about. */
const rest = '30 01 a201 01 09'

describe('codec', () => {
  it('writes plain Protobuf: ascending fields, defaults left out, optional zero kept', () => {
    assert.equal(hex(sample.encode(base)), from(rest).reduce((text, b) => text + b.toString(16).padStart(2, '0'), ''))
    assert.equal(hex(sample.encode({ ...base, n: 300, flag: true, data: from('aabb'), text: 'é', maybe: 0, inner: { n: 0 }, list: [{ n: 1 }, { n: 128 }] })),
      hex(from('08 ac02 10 01 1a 02 aabb 2a 02 c3a9 30 01 3a 00 40 00 4a 02 08 01 4a 03 08 8001 a201 01 09')))
  })

  it('fills in what is absent', () => {
    const value = sample.decode(from(rest))
    assert.deepEqual({ ...value, data: hex(value.data), exact: hex(value.exact), need: hex(value.need) }, { n: 0, flag: false, data: '', exact: '', text: '', kind: 'a', inner: undefined, maybe: undefined, list: [], need: '09' })
  })

  it('skips unknown fields of every wire type', () => {
    const unknown = 'f006 ffffffffffffffffff01 f206 03 010203 f106 0102030405060708 f506 01020304'
    assert.equal(sample.decode(from(unknown + rest)).kind, 'a')
    assert.equal(sample.decode(from(rest + unknown)).kind, 'a')
  })

  const bad: Array<[what: string, bytes: string, code: ProtocolErrorCode]> = [
    ['a number above its limit', '08 ad02' + rest, 'too-large'],
    ['a number above 2^53', '40 ffffffffffffff1f' + rest, 'too-large'],
    ['a number of 2^64 - 1 (a negative one)', '40 ffffffffffffffffff01' + rest, 'too-large'],
    ['a varint that never ends', '40 ffffffffffffffffffffff', 'too-large'],
    ['a varint longer than needed', '08 8000' + rest, 'malformed'],
    ['a varint cut off', '08 80', 'truncated'],
    ['bytes beyond their limit', '1a 05 0102030405' + rest, 'too-large'],
    ['a length beyond what is left', '1a 04 01', 'truncated'],
    ['a huge length', '1a ffffffff0f', 'too-large'],
    ['exact bytes of another length', '22 01 01' + rest, 'malformed'],
    ['exact bytes of no length', '22 00' + rest, 'malformed'],
    ['text that is not UTF-8', '2a 02 c328' + rest, 'malformed'],
    ['text beyond its limit', '2a 07 61616161616161' + rest, 'too-large'],
    ['an unknown enum value', '30 03 a201 01 09', 'malformed'],
    ['the enum value 0', '30 00 a201 01 09', 'malformed'],
    ['a boolean of 2', '10 02' + rest, 'malformed'],
    ['a field that came twice', '08 01 08 01' + rest, 'duplicate'],
    ['too many entries', '4a 00 4a 00 4a 00' + rest, 'too-large'],
    ['a submessage beyond its limit', '3a 09 000000000000000000' + rest, 'too-large'],
    ['a submessage that reaches beyond its length', '3a 01 08' + rest, 'truncated'],
    ['another wire type', '0a 01 01' + rest, 'malformed'],
    ['a group', '0b' + rest, 'malformed'],
    ['an unknown group', 'f306' + rest, 'malformed'],
    ['field number 0', '00 01' + rest, 'malformed'],
    ['a field number beyond 32 bits', '80808080 8001 01' + rest, 'malformed'],
    ['a required field that is missing', '30 01', 'missing'],
    ['a required enum that is missing', 'a201 01 09', 'missing'],
    ['an unknown field cut off', rest + 'f106 01', 'truncated'],
    ['an unknown varint of eleven bytes', rest + 'f006 ffffffffffffffffffff01', 'malformed']
  ]
  for (const [what, bytes, code] of bad) {
    it(`refuses ${what}`, () => { throwsCode(code, () => sample.decode(from(bytes))) })
  }

  const unfit: Array<[what: string, fields: Partial<Sample>, code: ProtocolErrorCode]> = [
    ['a number above its limit', { n: 301 }, 'too-large'],
    ['a negative number', { n: -1 }, 'too-large'],
    ['a fraction', { n: 1.5 }, 'too-large'],
    ['not a number', { n: Number.NaN }, 'too-large'],
    ['bytes beyond their limit', { data: Buffer.alloc(5) }, 'too-large'],
    ['exact bytes of another length', { exact: Buffer.alloc(1) }, 'malformed'],
    ['text beyond its limit', { text: 'éééé' }, 'too-large'],
    ['an unknown enum value', { kind: 'c' }, 'malformed'],
    ['too many entries', { list: [{ n: 1 }, { n: 1 }, { n: 1 }] }, 'too-large'],
    ['a required field left empty', { need: Buffer.alloc(0) }, 'missing']
  ]
  for (const [what, fields, code] of unfit) {
    it(`does not write ${what}`, () => { throwsCode(code, () => sample.encode({ ...base, ...fields })) })
  }

  it('refuses a union with no kind, two kinds or bytes behind it, and passes over unknown kinds', () => {
    const union = oneOf<{ type: 'inner', n: number }>('Union', { inner: { number: 1, codec: inner, max: 8 } })
    assert.equal(union.decode(union.encode({ type: 'inner', n: 5 }))?.n, 5)
    assert.equal(union.decode(from('fa06 02 0102')), undefined)
    throwsCode('truncated', () => union.decode(new Uint8Array(0)))
    throwsCode('malformed', () => union.decode(from('0a 02 08 01 0a 02 08 01')))
    throwsCode('malformed', () => union.decode(from('fa06 02 0102 00')))
    throwsCode('malformed', () => union.decode(from('02 00')))
    throwsCode('too-large', () => union.decode(from('0a 09 080108010801080108')))
    throwsCode('unexpected', () => union.encode({ type: 'other' } as any))
  })

  it('reads back every varint it writes, in as few bytes as possible', () => {
    fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(), fc.nat({ max: 300 })), value => {
      const writer = new Writer()
      writer.varint(value)
      const bytes = writer.take()
      assert.equal(bytes.length, varintLength(value))
      const reader = new Reader(bytes)
      assert.equal(reader.varint(), value)
      assert.equal(reader.at, bytes.length)
    }))
    for (const value of [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const writer = new Writer()
      writer.varint(value)
      assert.equal(new Reader(writer.take()).varint(), value)
    }
  })

  it('gives pieces of its slab away for good', () => {
    const writer = new Writer()
    const pieces: Uint8Array[] = []
    for (let i = 0; i < 2000; i++) {
      writer.bytes(Buffer.alloc(100, i & 255))
      pieces.push(writer.take())
    }
    writer.bytes(Buffer.alloc(200_000, 1))
    assert.equal(writer.take().length, 200_003)
    pieces.forEach((piece, i) => { assert.equal(hex(piece), hex(Buffer.concat([Uint8Array.of(100), Buffer.alloc(100, i & 255)]))) })
  })

  it('moves a body whose length prefix was guessed wrong', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 70_000 }), (guess, size) => {
      const writer = new Writer()
      writer.varint(7)
      const mark = writer.begin(guess)
      const body = Buffer.alloc(size, 3)
      for (let at = 0; at < size; at += 1000) writer.varint(3)
      const length = writer.length - 1 - guess
      assert.equal(writer.end(mark, guess), varintLength(length))
      const bytes = writer.take()
      const reader = new Reader(bytes)
      assert.equal(reader.varint(), 7)
      assert.equal(hex(reader.bytes(size)), hex(body.subarray(0, length)))
      assert.equal(reader.at, bytes.length)
    }))
  })
})
