import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { ProtocolError } from '../../../daemon/task-protocol/errors.ts'
import { leaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { leaseMessages, taskMessages } from './arbitraries.ts'
import { plain, revive, type Vector } from './vector.ts'

const codecs = { LeaseMessage: leaseMessage, TaskMessage: taskMessage } as const


function mutate (bytes: Uint8Array, edits: Array<[number, number, number]>): Uint8Array {
  let out = Buffer.from(bytes)
  for (const [kind, where, value] of edits) {
    const at = out.length === 0 ? 0 : where % out.length
    if (kind === 0 && out.length > 0) out[at] = value
    else if (kind === 1) out = Buffer.concat([out.subarray(0, at), Uint8Array.of(value), out.subarray(at)])
    else if (kind === 2) out = Buffer.concat([out.subarray(0, at), out.subarray(at + 1)])
    else if (kind === 3) out = out.subarray(0, at)
    else if (kind === 4) out = Buffer.concat([out, out.subarray(at)])
    else if (out.length > 0) out[at] = out[at]! | 0x80
  }
  return out
}

describe('messages', () => {
  for (const [name, arbitrary] of [['LeaseMessage', leaseMessages], ['TaskMessage', taskMessages]] as const) {
    const codec = codecs[name]

    it(`${name}: what is encoded is decoded, and equal messages have equal bytes`, () => {
      fc.assert(fc.property(arbitrary as fc.Arbitrary<any>, value => {
        const bytes = codec.encode(value)
        const back = codec.decode(bytes)
        assert.deepEqual(plain(back), plain(value))
        assert.deepEqual(Buffer.from(codec.encode(back as any)), Buffer.from(bytes))
      }), { numRuns: 400 })
    })

    it(`${name}: whatever is done to the bytes, decoding ends with a message or a ProtocolError`, () => {
      const edits = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 })
      fc.assert(fc.property(arbitrary as fc.Arbitrary<any>, edits, (value, changes) => {
        const bytes = mutate(codec.encode(value), changes)
        try {
          const back = codec.decode(bytes)
          if (back != null) codec.encode(back as any) // what is accepted is within the limits, so it can be written
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error))
        }
      }), { numRuns: 3000 })
    })

    it(`${name}: random bytes are a message or a ProtocolError`, () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        try {
          codec.decode(bytes)
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error))
        }
      }), { numRuns: 2000 })
    })
  }

  describe('test vectors', () => {
    const file = join(import.meta.dirname, '..', '..', 'fixtures', 'vectors', 'task-protocol.json')
    const vectors = JSON.parse(readFileSync(file, 'utf8')) as { messages: Vector[], refused: Array<{ name: string, codec: keyof typeof codecs, hex: string, error: string }> }
    for (const { name, codec, hex, decoded } of vectors.messages) {
      it(name, () => {
        const bytes = Buffer.from(hex, 'hex')
        assert.deepEqual(plain(codecs[codec].decode(bytes)), decoded)
        assert.equal(Buffer.from(codecs[codec].encode(revive(decoded) as any)).toString('hex'), hex)
      })
    }
    for (const { name, codec, hex, error } of vectors.refused) {
      it(`refused: ${name}`, () => {
        assert.throws(() => codecs[codec].decode(Buffer.from(hex, 'hex')), thrown => thrown instanceof ProtocolError && thrown.code === error)
      })
    }
    it('there is one for every kind', () => {
      const kinds = new Set(vectors.messages.map(({ decoded }) => (decoded as { type: string }).type))
      for (const kind of ['request', 'grant', 'refuse', 'offer', 'accept-offer', 'refuse-offer', 'withdraw', 'orders', 'results', 'ack', 'cancel', 'slots', 'beat', 'beacon', 'order', 'accept', 'output', 'result']) {
        assert.ok(kinds.has(kind), `no vector for '${kind}'`)
      }
    })
  })
})
