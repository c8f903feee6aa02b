import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ADVERT_DOMAIN, ADVERT_VALIDITY_MS } from '../../../daemon/dht-registry/constants.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { STATUS } from '../../../daemon/dht-registry/messages.ts'
import { DIALS_PARALLEL_MAX } from '../../../daemon/network/constants.ts'
import { advertOf, delegation, forge } from '../../unit/dht-registry/fixtures.ts'
import type { TestNode } from '../registry/node.ts'
import { Attacker, DHT, dhtPeer, type DhtPeer } from './attacker.ts'
import { until, World } from './world.ts'

const EDGE = { from: 'made/up', to: 'by/attackers' }
const PEERS = 100

/** Milliseconds a search or a walk may take: ten times what one takes on an idle machine. */
const WALK_MS = 3000

/**
 * Connections one address gets of one node during a test, whatever is said about it: those dialled before the first of them has failed, and as
 * many again for the seconds after which it is tried once more.
 */
const DIALS_MAX = 2 * DIALS_PARALLEL_MAX

/** Somebody who has nothing to do with the network. */
async function bystander (): Promise<{ address: string, connections: () => number } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server: Server = createServer(socket => {
    connections++
    sockets.add(socket)
    socket.on('error', () => { /* what comes in does not matter */ })
    // It speaks no libp2p, and hangs up.
    socket.once('data', () => { socket.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    address: `/ip4/127.0.0.1/tcp/${port}`,
    connections: () => connections,
    async [Symbol.asyncDispose] () {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}

const strangersAt = async (address: string): Promise<DhtPeer[]> => await Promise.all(Array.from({ length: PEERS }, async () => dhtPeer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), [address])))

/** Has a node walk towards the key. On a busy machine the walk may be cut short by its signal: an end like any other here, where only what was dialled counts. */
async function walk ({ network }: TestNode): Promise<void> {
  const signal = AbortSignal.timeout(WALK_MS)
  const key = (await capabilityKey(EDGE)).multihash.bytes
  try {
    for await (const event of network.libp2p.services.dht.getClosestPeers(key, { signal })) void event
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

describe('hostile: addresses of a bystander', () => {
  for (const [what, field] of [['providers', 'providers'], ['peers closer to the key', 'closer']] as const) {
    it(`told as those of hundreds of ${what}: it gets a few connections`, async () => {
      await using target = await bystander()
      await using world = await World.start()
      const invented = await strangersAt(target.address)
      await using attacker = await Attacker.start({ listen: true, dht: ({ type, key }) => ({ type, key, [field]: type === DHT.addProvider ? [] : invented }) })
      await attacker.join(world.requester)
      await until('it is in the routing table', () => world.requester.network.dhtPeers() > 1)
      await world.during(4, async () => {
        for (let round = 0; round < 2; round++) {
          for await (const view of world.requester.registry.find(EDGE, { signal: AbortSignal.timeout(WALK_MS) })) assert.fail(`${view.peer.toString()} offers it`)
          await walk(world.requester)
        }
      })
      assert.ok(target.connections() > 0, 'the attack is one')
      assert.ok(target.connections() <= DIALS_MAX, `${target.connections()} connections`)
    })
  }

  it('told as their own, by identify, adverts and provider records, by peers that leave: it gets a few connections', async () => {
    await using target = await bystander()
    await using world = await World.start()
    const now = Date.now()
    await world.during(4, async () => {
      for (let i = 0; i < 12; i++) {
        await using attacker = await Attacker.start({ announce: [target.address], dht: ({ type, key }) => ({ type, key }) })
        await attacker.join(world.victim)
        const self = { node: attacker.key, operator: attacker.key, peer: attacker.peer.toString() }
        const advert = await advertOf(self, { addresses: [target.address], sequence: now, issued: now, expires: now + ADVERT_VALIDITY_MS, delegation: await delegation(self, now, now + ADVERT_VALIDITY_MS), converters: [{ id: 'x', version: '1', ...EDGE, bytesPerSecond: 1 }] })
        assert.equal((await attacker.push(await forge(self, ADVERT_DOMAIN, advert)))?.status, STATUS.ok)
        await attacker.tell([{ type: DHT.addProvider, key: (await capabilityKey(EDGE)).multihash.bytes, providers: [dhtPeer(attacker.peer, [target.address])] }])
      }
      for (const node of [world.victim, world.requester]) {
        for await (const view of node.registry.find(EDGE, { signal: AbortSignal.timeout(2000) })) void view
      }
    })
    assert.ok(target.connections() <= DIALS_MAX, `${target.connections()} connections`)
  })
})
