import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { PROVIDER_RECORDS_PER_PEER_MAX } from '../../../daemon/network/constants.ts'
import { content } from '../registry/node.ts'
import { Attacker, DHT, dhtPeer, type DhtMessage } from './attacker.ts'
import { heldBy, memory, until, World } from './world.ts'

const MIB = 1 << 20

const someKey = async (i: number): Promise<Uint8Array> => (await capabilityKey({ from: `a/${i}`, to: randomBytes(4).toString('hex') })).multihash.bytes

describe('hostile: provider records', () => {
  let world: World
  let attacker: Attacker

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })
  beforeEach(async () => {
    attacker = await Attacker.start()
    await attacker.join(world.victim)
  })
  afterEach(async () => {
    await attacker[Symbol.asyncDispose]()
    await world.stillServes()
  })

  it('in others\' names are not stored, one by one or by the hundreds', async () => {
    const key = (await capabilityKey({ from: 'a/a', to: 'b/b' })).multihash.bytes
    const others = await Promise.all(Array.from({ length: 400 }, async () => dhtPeer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), ['/ip4/127.0.0.1/tcp/9'])))
    const before = await heldBy(world.victim.network)
    await world.during(4, async more => {
      for (let round = 0; round < 2 || more(); round++) {
        for (const provider of [dhtPeer(world.requester.identity.peerId, ['/ip4/127.0.0.1/tcp/9']), dhtPeer(world.victim.identity.peerId, ['/ip4/127.0.0.1/tcp/9'])]) {
          await attacker.tell([{ type: DHT.addProvider, key, providers: [provider] }])
        }
        await attacker.tell([{ type: DHT.addProvider, key, providers: others }])
      }
    })
    assert.deepEqual(await heldBy(world.victim.network), before)
    assert.equal((await attacker.ask({ type: DHT.getProviders, key }))?.providers, 0)
  })

  it('by the thousands for keys nobody asks for stay within their number, and leave room for an honest one', async () => {
    const self = dhtPeer(attacker.peer, ['/ip4/127.0.0.1/tcp/9'])
    const before = await memory()
    await world.during(8, async more => {
      for (let sent = 0; sent < 1.5 * PROVIDER_RECORDS_PER_PEER_MAX || more();) {
        const batch: DhtMessage[] = []
        for (let i = 0; i < 64; i++) batch.push({ type: DHT.addProvider, key: await someKey(sent++), providers: [self] })
        await attacker.tell(batch)
      }
    })
    const { providers } = await heldBy(world.victim.network)
    assert.ok(providers >= PROVIDER_RECORDS_PER_PEER_MAX && providers <= PROVIDER_RECORDS_PER_PEER_MAX + 16, `${providers} are stored`)
    assert.ok(await memory() - before < 16 * MIB)
    await world.requester.registry.publish(content([['honest/a', 'honest/b']]))
    const key = (await capabilityKey({ from: 'honest/a', to: 'honest/b' })).multihash.bytes
    await until('the honest provider is stored', async () => (await attacker.ask({ type: DHT.getProviders, key }))?.providers === 1)
  })
})
