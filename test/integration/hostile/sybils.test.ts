import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { startNode, type TestNode } from '../registry/node.ts'
import { Attacker, DHT, dhtPeer, grind, type DhtPeer, type Ground } from './attacker.ts'
import { until, within, World } from './world.ts'

const EDGE = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

/** Peers ground close to the key of a conversion, and fresh keys tried for them: about 6 bits in common with it. */
const SYBILS = 12
const TRIES = 1000

/** Nobody listens there. */
const DEAD = '/ip4/127.0.0.1/tcp/9'

/** They name one another, and as providers whoever `providers` says. */
interface Swarm extends AsyncDisposable { providers: DhtPeer[], asked: () => number, join: (node: TestNode) => Promise<void> }

async function swarm (ground: Ground[]): Promise<Swarm> {
  await using stack = new AsyncDisposableStack()
  let asked = 0
  let closer: DhtPeer[] = []
  const peers = await Promise.all(ground.map(async ({ key }) => stack.use(await Attacker.start({
    key,
    listen: true,
    dht: ({ type, key: wanted }) => {
      if (type === DHT.getProviders) asked++
      return type === DHT.addProvider ? undefined : { type, key: wanted, closer: closer.slice(0, 8), providers: type === DHT.getProviders ? made.providers : [] }
    }
  }))))
  closer = peers.map(({ peer, host }) => dhtPeer(peer, [host.getMultiaddrs()[0]?.toString().replace(/\/p2p\/.*/, '') ?? DEAD]))
  const owned = stack.move()
  const made: Swarm = {
    providers: [],
    asked: () => asked,
    join: async node => {
      await Promise.all(peers.map(async peer => { await peer.join(node) }))
      await until('some are in its routing table', () => node.network.dhtPeers() > 5)
    },
    [Symbol.asyncDispose]: async () => { await owned.disposeAsync() }
  }
  return made
}

describe('hostile: peers ground close to a key', () => {
  let sybils: Swarm

  before(async () => {
    const ground = await grind((await capabilityKey(EDGE)).multihash.bytes, SYBILS, TRIES)
    assert.ok((ground.at(-1)?.bits ?? 0) >= 5)
    sybils = await swarm(ground)
  })
  after(async () => { await sybils[Symbol.asyncDispose]() })

  async function finds (node: TestNode, provider: TestNode): Promise<boolean> {
    for await (const { peer } of node.registry.find(EDGE, { signal: AbortSignal.timeout(12_000) })) if (peer.equals(provider.identity.peerId)) return true
    return false
  }

  const nobody = async (): Promise<DhtPeer[]> => []
  const inventions = async (): Promise<DhtPeer[]> => await Promise.all(Array.from({ length: 100 }, async () => dhtPeer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), [DEAD])))

  const answers = [['nothing', nobody], ['providers that do not exist', inventions]] as const

  describe('and connected to a requester', () => {
    let world: World

    before(async () => {
      world = await World.start()
      await sybils.join(world.requester)
    })
    after(async () => { await world[Symbol.asyncDispose]() })

    for (const [what, make] of answers) {
      it(`that answer with ${what}: a provider told directly is found, and works`, async () => {
        sybils.providers = await make()
        await world.during(4, async () => {
          assert.ok(await within('the search', finds(world.requester, world.victim)))
        })
      })
    }
  })

  describe('and connected to a newcomer', () => {
    let world: World

    before(async () => {
      world = await World.start()
      await world.requesterHoldsKey(EDGE)
    })
    after(async () => { await world[Symbol.asyncDispose]() })

    for (const [what, make] of answers) {
      it(`that answer with ${what}: it finds the provider by another peer of the DHT`, async () => {
        sybils.providers = await make()
        const asked = sybils.asked()
        await using newcomer = await startNode({ bootstrap: [world.requester.address], dhtMode: 'client' })
        await until('it has a peer', () => newcomer.network.dhtPeers() > 0)
        await sybils.join(newcomer)
        await world.during(4, async () => {
          assert.ok(await within('the search', finds(newcomer, world.victim)))
        })
        assert.ok(sybils.asked() > asked, 'they were asked')
      })
    }
  })
})
