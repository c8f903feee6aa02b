import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { startNode, type TestNode } from '../registry/node.ts'
import { Attacker, DHT, dhtPeer } from './attacker.ts'
import { until, within, World } from './world.ts'

const EDGE = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

/** Nobody listens there. */
const DEAD = '/ip4/127.0.0.1/tcp/9'

async function finds (node: TestNode, provider: TestNode): Promise<boolean> {
  for await (const { peer } of node.registry.find(EDGE, { signal: AbortSignal.timeout(12_000) })) if (peer.equals(provider.identity.peerId)) return true
  return false
}

describe('hostile: a member that invents providers', () => {
  let world: World

  before(async () => {
    world = await World.start()
    await world.requesterHoldsKey(EDGE)
  })
  after(async () => { await world[Symbol.asyncDispose]() })

  // 8 end kad-dht's own search; 300 fill FIND_CANDIDATES_MAX.
  for (const count of [8, 300]) {
    it(`${count} at a time: a newcomer finds the real one by another peer of the DHT`, async () => {
      const invented = await Promise.all(Array.from({ length: count }, async () => dhtPeer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), [DEAD])))
      let asked = 0
      await using liar = await Attacker.start({
        listen: true,
        dht: ({ type, key }) => {
          if (type === DHT.getProviders) asked++
          return type === DHT.addProvider ? undefined : { type, key, providers: type === DHT.getProviders ? invented : [] }
        }
      })
      await using newcomer = await startNode({ bootstrap: [world.requester.address], dhtMode: 'client' })
      await until('it has a peer', () => newcomer.network.dhtPeers() > 0)
      await liar.join(newcomer)
      await until('it has the liar, too', () => newcomer.network.dhtPeers() > 1)
      await world.during(4, async () => {
        // Who is nearer to the key answers first, and each newcomer has its own order: so several times.
        for (let i = 0; i < 2; i++) assert.ok(await within('the search', finds(newcomer, world.victim)))
      })
      assert.ok(asked > 0, 'the liar was asked')
    })
  }

  it('that says the real one is where nobody is: a newcomer finds it where another peer says', async () => {
    const misplaced = dhtPeer(world.victim.identity.peerId, [DEAD])
    let asked = 0
    await using liar = await Attacker.start({
      listen: true,
      dht: ({ type, key }) => {
        if (type === DHT.getProviders) asked++
        return type === DHT.addProvider ? undefined : { type, key, closer: [misplaced], providers: type === DHT.getProviders ? [misplaced] : [] }
      }
    })
    await using newcomer = await startNode({ bootstrap: [world.requester.address], dhtMode: 'client' })
    await until('it has a peer', () => newcomer.network.dhtPeers() > 0)
    await liar.join(newcomer)
    await until('it has the liar, too', () => newcomer.network.dhtPeers() > 1)
    await world.during(4, async () => {
      assert.ok(await within('the search', finds(newcomer, world.victim)))
    })
    assert.ok(asked > 0, 'the liar was asked')
  })
})
