import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { TypedEventEmitter } from 'main-event'
import { ROUTING_GROUP_MAX } from '../../../daemon/network/constants.ts'
import { diversify, type RoutingTable } from '../../../daemon/network/diversity.ts'

const peer = (name: string): PeerId => ({ toString: () => name } as unknown as PeerId)

class Table extends TypedEventEmitter<{ 'peer:add': CustomEvent<PeerId>, 'peer:remove': CustomEvent<PeerId> }> {
  readonly peers = new Set<string>()
  get size (): number { return this.peers.size }

  async add (id: PeerId): Promise<void> {
    this.peers.add(id.toString())
    this.safeDispatchEvent('peer:add', { detail: id })
  }

  remove (id: PeerId): void {
    this.peers.delete(id.toString())
    this.safeDispatchEvent('peer:remove', { detail: id })
  }
}

describe('network: diversity of the routing table', () => {
  const addresses = new Map<string, Multiaddr>()
  const at = (id: PeerId): Multiaddr | undefined => addresses.get(id.toString())
  const place = (name: string, address: string): PeerId => {
    addresses.set(name, multiaddr(address))
    return peer(name)
  }

  it('lets in so many of one public group, again when one leaves, and everybody of a laboratory', async () => {
    const table = new Table()
    diversify(table as unknown as RoutingTable, at)
    const near = Array.from({ length: 20 }, (_, i) => place(`near${i}`, `/ip4/9.9.9.${i}/tcp/1`))
    for (const one of near) await table.add(one)
    assert.equal(table.size, ROUTING_GROUP_MAX)
    await table.add(place('far', '/ip4/9.9.8.1/tcp/1'))
    assert.equal(table.size, ROUTING_GROUP_MAX + 1)
    table.remove(near[0] as PeerId)
    await table.add(near[10] as PeerId)
    await table.add(near[11] as PeerId)
    assert.equal(table.size, ROUTING_GROUP_MAX + 1)
    for (let i = 0; i < 20; i++) await table.add(place(`local${i}`, `/ip4/127.0.0.1/tcp/${i + 1}`))
    assert.equal(table.size, ROUTING_GROUP_MAX + 21)
    await table.add(near[10] as PeerId)
    assert.ok(table.peers.has('near10'), 'who is in may be refreshed')
  })
})
