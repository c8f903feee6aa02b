import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { ProtocolError } from '../../../daemon/task-protocol/errors.ts'
import { CREDIT_FRAME, creditFrame, DATA_FRAME, END_FRAME, endFrame, header, MESSAGE_FRAME, TransferParser } from '../../../daemon/task-protocol/transfer-parser.ts'
import { revive } from './vector.ts'

type Frame = { type: 'message' | 'data', bytes: Uint8Array } | { type: 'end', digest: Uint8Array, total: number } | { type: 'credit', bytes: number }

function encode (frame: Frame): Uint8Array {
  switch (frame.type) {
    case 'message': return Buffer.concat([header(MESSAGE_FRAME, frame.bytes.length), frame.bytes])
    case 'data': return Buffer.concat([header(DATA_FRAME, frame.bytes.length), frame.bytes])
    case 'end': return endFrame(frame.digest, frame.total)
    case 'credit': return creditFrame(frame.bytes)
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** What a parser sees of bytes that come in pieces; data pieces that follow one another are joined. */
function parse (bytes: Uint8Array, cuts: number[]): string[] {
  const seen: string[] = []
  const parser = new TransferParser({
    onMessage: message => { seen.push(`message ${hex(message)}`) },
    onData: piece => {
      assert.ok(piece.length > 0)
      if (seen.at(-1)?.startsWith('data ') === true) seen.push(`${seen.pop()}${hex(piece)}`)
      else seen.push(`data ${hex(piece)}`)
    },
    onEnd: (digest, total) => { seen.push(`end ${hex(digest)} ${total}`) },
    onCredit: granted => { seen.push(`credit ${granted}`) }
  })
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const step = cuts[i % cuts.length] ?? bytes.length
    parser.push(bytes.subarray(at, at + step))
    at += step
  }
  return seen
}

const bodies = fc.uint8Array({ minLength: 1, maxLength: 200 })
const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('message' as const), bytes: bodies }),
  fc.record({ type: fc.constant('data' as const), bytes: bodies }),
  fc.record({ type: fc.constant('end' as const), digest: fc.uint8Array({ minLength: 32, maxLength: 32 }), total: fc.maxSafeNat() }),
  fc.record({ type: fc.constant('credit' as const), bytes: fc.nat({ max: 2 ** 31 - 1 }) })
)

describe('transfer frames', () => {
  it('are found again however the bytes are cut', () => {
    fc.assert(fc.property(fc.array(frames, { maxLength: 15 }), fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 9 }), (list, cuts) => {
      const bytes = Buffer.concat(list.map(encode))
      assert.deepEqual(parse(bytes, cuts), parse(bytes, [Number.MAX_SAFE_INTEGER]))
    }))
  })

  it('of random bytes are frames or a ProtocolError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (bytes, cut) => {
      try {
        parse(bytes, [cut])
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error))
      }
    }), { numRuns: 2000 })
  })

  it('allocate nothing for a length beyond the limit', () => {
    for (const type of [0, MESSAGE_FRAME, DATA_FRAME, END_FRAME, CREDIT_FRAME, 5]) assert.throws(() => parse(header(type, 0xffffffff), [1]), ProtocolError)
  })

  const { transfer } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'fixtures', 'vectors', 'task-protocol.json'), 'utf8'))
  for (const vector of transfer) {
    it(`test vector: ${vector.name}`, () => {
      const frame = revive(vector.frame) as Frame
      assert.equal(hex(encode(frame)), vector.hex)
      const [seen] = parse(Buffer.from(vector.hex, 'hex'), [3])
      switch (frame.type) {
        case 'end': assert.equal(seen, `end ${hex(frame.digest)} ${frame.total}`); break
        case 'credit': assert.equal(seen, `credit ${frame.bytes}`); break
        default: assert.equal(seen, `${frame.type} ${hex(frame.bytes)}`)
      }
    })
  }
})
