import assert from 'node:assert/strict'
import fc from 'fast-check'
import { FRAME_BYTES_MAX } from '../../../daemon/executor/constants.ts'
import { encodeFrame, FrameReader, readFromEngine, type FromEngine } from '../../../daemon/executor/messages.ts'
import { FrameError } from '../../../daemon/executor/errors.ts'

const json = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.uint8Array({ maxLength: 9 }), fc.array(fc.integer(), { maxLength: 3 })), { maxKeys: 4 })
const message: fc.Arbitrary<FromEngine> = fc.oneof(
  fc.constant({ type: 'ready' as const }),
  fc.record({ type: fc.constant('progress' as const), id: fc.nat(), done: fc.nat() }),
  fc.record({
    type: fc.constant('answer' as const),
    id: fc.nat(),
    cpuMs: fc.nat(),
    answer: fc.oneof(
      fc.record({ ok: fc.constant(true as const), bytes: fc.uint8Array(), units: fc.nat() }, { requiredKeys: ['ok'] }),
      fc.record({
        ok: fc.constant(false as const), reason: fc.constantFrom('conversion' as const, 'out-of-memory' as const), message: fc.string(), code: fc.string(), details: json
      }, { requiredKeys: ['ok', 'reason', 'message'] })
    )
  })
)

describe('messages of engine processes', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(encodeFrame))
      const reader = new FrameReader()
      const read: FromEngine[] = []
      for (let at = 0, nth = 0; at < bytes.length; nth++) {
        const length = cuts[nth % cuts.length] ?? 1
        read.push(...reader.push(bytes.subarray(at, at + length)).map(readFromEngine))
        at += length
      }
      assert.deepEqual(plain(read), plain(messages))
    }))
  })

  it('are refused or read, but never break the reader, when damaged', () => {
    fc.assert(fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (sent, at, change) => {
      const bytes = Uint8Array.from(encodeFrame(sent))
      const place = at % bytes.length
      bytes[place] = (bytes[place] ?? 0) ^ change
      try {
        for (const read of new FrameReader().push(bytes)) assert.ok(['ready', 'progress', 'answer'].includes(readFromEngine(read).type))
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error))
      }
    }))
  })

  it('are bounded in size, both ways', () => {
    assert.throws(() => encodeFrame({ type: 'answer', id: 1, cpuMs: 0, answer: { ok: true, bytes: new Uint8Array(FRAME_BYTES_MAX) } }), FrameError)
    const head = Buffer.alloc(4)
    head.writeUInt32BE(FRAME_BYTES_MAX + 1)
    assert.throws(() => new FrameReader().push(head), FrameError)
  })

  for (const [what, value] of Object.entries({
    'no map': 7,
    'a list': [],
    'an unknown type': { type: 'hello' },
    'a negative count': { type: 'progress', id: 1, done: -1 },
    'a count that is none': { type: 'progress', id: 1, done: 'x' },
    'an answer without verdict': { type: 'answer', id: 1, cpuMs: 0, answer: {} },
    'an unknown reason': { type: 'answer', id: 1, cpuMs: 0, answer: { ok: false, reason: 'cancelled', message: '' } },
    'bytes that are none': { type: 'answer', id: 1, cpuMs: 0, answer: { ok: true, bytes: 'x' } },
    'details that are none': { type: 'answer', id: 1, cpuMs: 0, answer: { ok: false, reason: 'conversion', message: '', details: [] } }
  })) {
    it(`refuses ${what}`, () => { assert.throws(() => readFromEngine(value), FrameError) })
  }
})

/** Without the difference between Buffer and Uint8Array, and between null prototypes and none. */
function plain (value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, item: unknown) => item instanceof Uint8Array ? { hex: Buffer.from(item).toString('hex') } : item))
}
