import assert from 'node:assert/strict'
import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { addresseeOf, BEACON_ID_BYTES, BEACON_KEY_BYTES, encodeBeacon, openBeacon, PACKET_BYTES } from '../../../daemon/health/beacon-packet.ts'

const id = Buffer.from('0102030405060708', 'hex')
const key = createSecretKey(Buffer.alloc(BEACON_KEY_BYTES, 7))
const uint32 = fc.oneof(fc.constantFrom(0, 1, 2 ** 32 - 1), fc.nat(2 ** 31))
const packets = fc.record({ incarnation: uint32, sequence: uint32, progress: uint32, loopDelayMs: uint32, active: uint32 })

describe('beacon datagram', () => {
  it('what is written is read, by who has the key', () => {
    fc.assert(fc.property(packets, packet => {
      const bytes = encodeBeacon(packet, id, key)
      assert.equal(bytes.length, PACKET_BYTES)
      assert.equal(addresseeOf(bytes), id.toString('hex'))
      assert.deepEqual(openBeacon(bytes, key), { ...packet })
      assert.equal(openBeacon(bytes, createSecretKey(randomBytes(32))), undefined)
    }))
  })

  it('any bit changed, it is not authentic or not a beacon', () => {
    fc.assert(fc.property(packets, fc.nat(PACKET_BYTES * 8 - 1), (packet, bit) => {
      const bytes = encodeBeacon(packet, id, key)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      assert.ok(addresseeOf(bytes) == null || openBeacon(bytes, key) == null)
    }))
  })

  it('random datagrams are no beacons', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => { assert.equal(addresseeOf(Buffer.from(bytes)), undefined) }))
    for (const length of [PACKET_BYTES - 1, PACKET_BYTES + 1]) {
      const bytes = Buffer.alloc(length)
      encodeBeacon({ incarnation: 1, sequence: 1, progress: 1, loopDelayMs: 0, active: 0 }, id, key).copy(bytes)
      assert.equal(addresseeOf(bytes), undefined)
    }
  })

  it('numbers beyond 32 bits are cut to the largest', () => {
    const bytes = encodeBeacon({ incarnation: 1, sequence: 1, progress: 1, loopDelayMs: 1e12, active: 2 ** 32 }, id, key)
    assert.deepEqual(openBeacon(bytes, key), { incarnation: 1, sequence: 1, progress: 1, loopDelayMs: 2 ** 32 - 1, active: 2 ** 32 - 1 })
  })

  describe('test vectors', () => {
    const file = join(import.meta.dirname, '..', '..', 'fixtures', 'vectors', 'beacon.json')
    const vectors = JSON.parse(readFileSync(file, 'utf8')) as { packets: Array<{ name: string, id: string, key: string, fields: { incarnation: number, sequence: number, progress: number, loopDelayMs: number, active: number }, hex: string }>, refused: Array<{ name: string, id: string, key: string, hex: string }> }
    for (const vector of vectors.packets) {
      it(vector.name, () => {
        const [to, with_] = [Buffer.from(vector.id, 'hex'), Buffer.from(vector.key, 'hex')]
        assert.equal(to.length, BEACON_ID_BYTES)
        const bytes = encodeBeacon(vector.fields, to, createSecretKey(with_))
        assert.equal(bytes.toString('hex'), vector.hex)
        assert.deepEqual(openBeacon(bytes, createSecretKey(with_)), vector.fields)
        // Once more without our own code.
        assert.equal(createHmac('sha256', with_).update(bytes.subarray(0, 32)).digest('hex').slice(0, 32), vector.hex.slice(64))
      })
    }
    for (const vector of vectors.refused) {
      it(`refused: ${vector.name}`, () => {
        const bytes = Buffer.from(vector.hex, 'hex')
        assert.ok(addresseeOf(bytes) !== vector.id || openBeacon(bytes, createSecretKey(Buffer.from(vector.key, 'hex'))) == null)
      })
    }
  })
})
