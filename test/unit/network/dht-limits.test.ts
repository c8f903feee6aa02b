import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { DHT_BYTES_BURST, DHT_CLOSER_MAX, DHT_MESSAGE_BYTES_MAX, DHT_PEER_ADDRESS_BYTES_MAX, DHT_PROVIDERS_TOLD_MAX, DHT_REQUEST_BYTES_MAX, DHT_REQUEST_COST_MIN, PEER_ADDRESSES_MAX } from '../../../daemon/network/constants.ts'
import { dhtGuard, sampleOf, toldAddresses } from '../../../daemon/network/dht-limits.ts'

class FakeStream extends EventTarget {
  readonly direction: 'inbound' | 'outbound'
  aborted = 0

  constructor (direction: 'inbound' | 'outbound') {
    super()
    this.direction = direction
  }

  abort (): void { this.aborted++ }

  receive (bytes: Uint8Array): void { this.dispatchEvent(Object.assign(new Event('message'), { data: { subarray: () => bytes } })) }
}

/** A message of so many bytes, with its length. */
function message (bytes: number): Uint8Array {
  return Buffer.concat([Buffer.of((bytes & 127) | 128, ((bytes >> 7) & 127) | 128, bytes >> 14), new Uint8Array(bytes)])
}

describe('network: limits of the DHT', () => {
  const connectionOf = (name: string): Connection => ({ remotePeer: { toString: () => name } }) as unknown as Connection
  const attach = (guard: ReturnType<typeof dhtGuard>, name: string, direction: 'inbound' | 'outbound' = 'inbound'): FakeStream => {
    const stream = new FakeStream(direction)
    guard(stream as unknown as Stream, connectionOf(name))
    return stream
  }

  it('takes requests of a peer up to its budget, over all its streams, and again later', () => {
    let now = 0
    const guard = dhtGuard(() => now)
    let taken = 0
    for (let i = 0; i < 10; i++) {
      const stream = attach(guard, 'a')
      for (let sent = 0; sent < 20; sent++) {
        stream.receive(message(DHT_REQUEST_BYTES_MAX))
        if (stream.aborted > 0) break
        taken++
      }
    }
    assert.equal(taken, DHT_BYTES_BURST / DHT_REQUEST_BYTES_MAX)
    const other = attach(guard, 'b')
    other.receive(message(100))
    assert.equal(other.aborted, 0)
    now = 10_000
    const later = attach(guard, 'a')
    later.receive(message(DHT_REQUEST_BYTES_MAX))
    assert.equal(later.aborted, 0)
  })

  it('counts an empty request as one, and takes none that is too long', () => {
    const stream = attach(dhtGuard(() => 0), 'a')
    const most = DHT_BYTES_BURST / DHT_REQUEST_COST_MIN
    stream.receive(new Uint8Array(most))
    assert.equal(stream.aborted, 0)
    stream.receive(new Uint8Array(1))
    assert.equal(stream.aborted, 1)
    const long = attach(dhtGuard(() => 0), 'a')
    long.receive(message(DHT_REQUEST_BYTES_MAX + 1))
    assert.equal(long.aborted, 1)
  })

  it('takes one answer to a request, as long as a message may be', () => {
    const stream = attach(dhtGuard(() => 0), 'a', 'outbound')
    stream.receive(message(DHT_MESSAGE_BYTES_MAX))
    assert.equal(stream.aborted, 0)
    stream.receive(message(10))
    assert.equal(stream.aborted, 1)
  })

  it('tells so many addresses of a peer that the longest answer fits a message', async () => {
    const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    fc.assert(fc.property(fc.array(fc.nat(200), { maxLength: 40 }), lengths => {
      const multiaddrs = lengths.map((length, i) => multiaddr(`/dns4/${'a'.repeat(length + 1)}/tcp/${i + 1}`))
      const told = toldAddresses({ id, multiaddrs }).multiaddrs
      const bytes = told.reduce((sum, address) => sum + address.bytes.byteLength + 2, 0)
      assert.ok(told.length <= PEER_ADDRESSES_MAX && bytes <= DHT_PEER_ADDRESS_BYTES_MAX)
      assert.ok(told.length > 0 || multiaddrs.slice(0, PEER_ADDRESSES_MAX).every(address => address.bytes.byteLength + 2 > DHT_PEER_ADDRESS_BYTES_MAX))
    }))
    const peerBytes = 3 + 2 + id.toMultihash().bytes.byteLength + DHT_PEER_ADDRESS_BYTES_MAX
    assert.ok((DHT_PROVIDERS_TOLD_MAX + DHT_CLOSER_MAX) * peerBytes + 100 <= DHT_MESSAGE_BYTES_MAX)
  })

  it('samples without repeating, everything if it fits', () => {
    fc.assert(fc.property(fc.uniqueArray(fc.integer()), fc.nat(50), (all, count) => {
      const sample = sampleOf(all, count)
      assert.equal(sample.length, Math.min(count, all.length))
      assert.equal(new Set(sample).size, sample.length)
      assert.ok(sample.every(item => all.includes(item)))
    }))
    assert.deepEqual(sampleOf([1, 2, 3], 2, () => 0.99), [3, 1])
  })
})
