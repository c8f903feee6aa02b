import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { DHT_CLOSER_MAX, DHT_REQUEST_BYTES_MAX, PEER_ADDRESSES_MAX } from '../../../daemon/network/constants.ts'
import { content } from '../registry/node.ts'
import { Attacker, DHT, dhtPeer } from './attacker.ts'
import { heldBy, until, World } from './world.ts'

const EDGE = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

/** Addresses in one message: as many as fit a request. */
const ADDRESSES = Math.floor(DHT_REQUEST_BYTES_MAX / 16)

describe('hostile: thousands of addresses', () => {
  let world: World

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })

  it('in provider records neither grow without bound nor silence who holds them', async () => {
    await using attacker = await Attacker.start()
    await attacker.join(world.victim)
    const key = await capabilityKey(EDGE)
    await world.requester.registry.publish(content([[EDGE.from, EDGE.to]]))
    await until('the honest provider is stored', async () => (await attacker.ask({ type: DHT.getProviders, key: key.multihash.bytes }))?.providers === 2)
    const before = await heldBy(world.victim.network)
    await world.during(4, async () => {
      for (let round = 0; round < 3; round++) {
        const addresses = Array.from({ length: ADDRESSES }, (_, i) => `/ip4/10.${round}.${i >> 8}.${i & 255}/tcp/4001`)
        await attacker.tell([{ type: DHT.addProvider, key: key.multihash.bytes, providers: [dhtPeer(attacker.peer, addresses)] }])
      }
    })
    const after = await heldBy(world.victim.network)
    assert.ok(after.addresses - before.addresses <= 4 * PEER_ADDRESSES_MAX, `${after.addresses - before.addresses} addresses of one peer are kept`)
    const found: string[] = []
    for await (const event of world.requester.network.libp2p.services.dht.findProviders(key, { signal: AbortSignal.timeout(5000) })) {
      if (event.name === 'PEER_RESPONSE' && event.from.equals(world.victim.identity.peerId)) found.push(...event.providers.map(({ id }) => id.toString()))
    }
    assert.ok(found.includes(world.victim.identity.peerId.toString()), 'the victim still answers with the honest provider')
    await world.stillServes()
  })

  it('and thousands of peers that do not exist, in answers: few of them are remembered', async () => {
    const invented = await Promise.all(Array.from({ length: 500 }, async () => dhtPeer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')), ['/ip4/127.0.0.1/tcp/9'])))
    let asked = 0
    await using attacker = await Attacker.start({
      listen: true,
      dht: ({ type, key }) => {
        if (type !== DHT.addProvider) asked++
        return type === DHT.addProvider ? undefined : { type, key, closer: invented.toSorted(() => Math.random() - 0.5), providers: type === DHT.getProviders ? invented : [] }
      }
    })
    await attacker.join(world.requester)
    await until('it is in the routing table', () => world.requester.network.dhtPeers() > 1)
    const before = await heldBy(world.requester.network)
    const asksBefore = asked
    const { dht } = world.requester.network.libp2p.services
    let providers = 0
    await world.during(4, async () => {
      for (let round = 0; round < 3; round++) {
        for await (const event of dht.findProviders(await capabilityKey(EDGE), { signal: AbortSignal.timeout(5000) })) if (event.name === 'PEER_RESPONSE') providers = Math.max(providers, event.providers.length)
      }
    })
    const after = await heldBy(world.requester.network)
    assert.ok(asked > asksBefore && providers === invented.length, 'the attack is one')
    assert.ok(after.peers - before.peers <= (asked - asksBefore) * DHT_CLOSER_MAX, `${after.peers - before.peers} more peers after ${asked - asksBefore} answers`)
  })
})
