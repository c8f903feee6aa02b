import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { KadDHT } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import type { CID } from 'multiformats/cid'
import { FIND_SHARDS_MAX, SHARD_DEPTH_MAX, SHARD_LOOK_PEERS_MIN, SHARD_PROVIDERS_MAX } from '../../../daemon/dht-registry/constants.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { listed } from '../../../daemon/dht-registry/listing.ts'
import { Placement } from '../../../daemon/dht-registry/placement.ts'
import { answerOf, homeDepth, listedIn, numberOf, placeOf, ROOT, SearchPlan, shardOf, step, walkFrom, type Answer } from '../../../daemon/dht-registry/shards.ts'
import { silentLog } from '../../../daemon/log.ts'
import { signer } from './fixtures.ts'
import { ShardModel } from './shard-model.ts'

/** A little chance is left: what is called "much more" than a limit. */
const MUCH_MORE = 1.35

/** What a searcher asks that is not content with a few keys. */
function everyKey (model: ShardModel): Set<number> {
  return model.search(new SearchPlan(0, () => 0, Infinity))
}

function assertFound (model: ShardModel): void {
  const asked = everyKey(model)
  const missed = model.providers.filter(({ place, depth }) => !listedIn(place, depth).some(shard => asked.has(numberOf(shard))))
  assert.equal(missed.length, 0, `${missed.length} of ${model.providers.length} are listed where nobody asks; ${asked.size} keys were asked`)
}

function settle (model: ShardModel): void {
  for (let round = 0; round < 6; round++) if (model.announce() === 0) return
}

describe('dht-registry: shards', () => {
  it('of a small network are one key, for providers and searchers', () => {
    fc.assert(fc.property(fc.nat({ max: 60 }), fc.nat(), (count, seed) => {
      const model = new ShardModel()
      model.add(seed, count)
      settle(model)
      assert.deepEqual([...model.keys.keys()], count === 0 ? [] : [0])
      assert.deepEqual([...everyKey(model)], [0])
    }), { numRuns: 30 })
  })

  it('list every provider where a searcher asks, and none many more than 256, whether the network grew at once, bit by bit, or shrank', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 3 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (steps, leaving, seed) => {
      const model = new ShardModel()
      for (const count of steps) {
        model.add(seed, count)
        settle(model)
        assertFound(model)
        assert.ok(model.fullest < SHARD_PROVIDERS_MAX * MUCH_MORE, `${model.fullest} under one key of ${model.providers.length}`)
      }
      model.remove(Math.floor(model.providers.length * leaving))
      settle(model)
      assertFound(model)
      assert.ok(model.fullest < SHARD_PROVIDERS_MAX * MUCH_MORE)
    }), { numRuns: 8 })
  })

  it('hold 100,000 providers', function () {
    this.timeout(60_000)
    const model = new ShardModel()
    model.add(7, 100_000)
    settle(model)
    assert.ok(model.fullest < SHARD_PROVIDERS_MAX * MUCH_MORE, `${model.fullest}`)
    assertFound(model)
    const entries = [...model.keys.values()].reduce((sum, key) => sum + key.listed, 0)
    assert.ok(entries < 2 * model.providers.length, 'a provider is listed less than twice')
    model.looks.clear()
    model.entries.clear()
    assert.ok(model.announce() < 1000)
    assert.ok(Math.max(...model.entries.values()) < SHARD_PROVIDERS_MAX * MUCH_MORE)
    assert.ok((model.looks.get(0) ?? 0) < 1000, `${model.looks.get(0) ?? 0} looks at the common key when everybody announces again`)
  })

  it('are numbered without a collision, and listed from the home upwards', () => {
    const numbers = new Set<number>()
    for (let depth = 0; depth <= 8; depth++) for (let prefix = 0; prefix < 2 ** depth; prefix++) numbers.add(numberOf({ depth, prefix }))
    assert.equal(numbers.size, 511)
    fc.assert(fc.property(fc.string(), fc.nat({ max: SHARD_DEPTH_MAX }), (name, depth) => {
      const place = placeOf(name)
      const shards = listedIn(place, depth)
      assert.deepEqual(shards[0], shardOf(place, depth))
      assert.equal(shards.length, 1 + Math.min(depth, place.rank))
      for (const shard of shards) assert.ok(shard.prefix < 2 ** shard.depth)
    }))
  })

  it('end a walk, whatever is answered', () => {
    const answer = fc.record({ listed: fc.nat({ max: 2000 }), lowest: fc.nat({ max: 32 }) })
    fc.assert(fc.property(fc.nat({ max: SHARD_DEPTH_MAX }), fc.infiniteStream(answer), (depth, answers) => {
      let walk = walkFrom(depth)
      let looks = 0
      while (!walk.done) {
        walk = step(walk, answers.next().value as Answer)
        assert.ok(walk.depth >= 0 && walk.depth <= SHARD_DEPTH_MAX && walk.least <= walk.depth)
        assert.ok(++looks <= 2 * SHARD_DEPTH_MAX + 2)
      }
    }))
  })

  it('send nobody away because of a crowd of liars under the common key', () => {
    // Forty that ground their ids to look like a sample of millions; under every other key there is nobody.
    const liars = answerOf(Array.from({ length: 50 }, (_, i) => i < 10 ? i % 3 : 20))
    let walk = walkFrom(0)
    let looks = 0
    while (!walk.done) {
      walk = step(walk, walk.depth === 0 ? liars : { listed: 0, lowest: 0 })
      looks++
    }
    assert.equal(walk.depth, 0)
    assert.ok(looks <= 7, `${looks}`)
  })

  it('are asked by a bounded search: all where there are few, some by chance where there are many, the common one again when they emptied', () => {
    const many: Answer = { listed: 200, lowest: 9 }
    const plan = new SearchPlan(0, Math.random)
    assert.deepEqual(plan.next(), ROOT)
    plan.answered(ROOT, many)
    const depths: number[] = []
    for (let shard = plan.next(); shard != null; shard = plan.next()) depths.push(shard.depth)
    assert.equal(depths.length, FIND_SHARDS_MAX - 1)
    assert.deepEqual(new Set(depths), new Set([9, 8]))
    assert.equal(plan.depth, 9)
    const later = new SearchPlan(9, Math.random)
    const first = later.next()
    assert.equal(first?.depth, 9)
    later.answered(first, { listed: 3, lowest: 0 })
    assert.deepEqual(later.next(), ROOT)
    later.answered(ROOT, { listed: 3, lowest: 0 })
    assert.equal(later.next(), undefined)
    assert.equal(later.depth, 0)
    const two = new SearchPlan(0, Math.random)
    two.next()
    two.answered(ROOT, { listed: 200, lowest: 2 })
    const asked: number[] = []
    for (let shard = two.next(); shard != null; shard = two.next()) {
      asked.push(numberOf(shard))
      two.answered(shard, { listed: 200, lowest: 2 - shard.depth })
    }
    assert.deepEqual(asked.slice(0, 6), [1, 2, 3, 4, 5, 6])
    assert.equal(homeDepth(ROOT, { listed: 0, lowest: 0 }), 0)
  })
})

describe('dht-registry: listing and placement', () => {
  const EDGE = { from: 'text/csv', to: 'x/y' }

  it('gives whole answers, each provider once, and what is held here though kad-dht stops before', async () => {
    const [a, b, c] = await Promise.all([signer(), signer(), signer()].map(async who => peerIdFromString((await who).peer)))
    assert.ok(a != null && b != null && c != null)
    const dht = {
      async * findProviders () {
        yield { name: 'PEER_RESPONSE', providers: [{ id: a, multiaddrs: [] }, { id: b, multiaddrs: [] }] }
        yield { name: 'PROVIDER', providers: [{ id: b, multiaddrs: [] }] }
      },
      providers: { getProviders: async () => [a, c] }
    } as unknown as KadDHT
    const found: string[] = []
    for await (const { id } of listed(dht, await capabilityKey(EDGE), AbortSignal.timeout(1000))) found.push(id.toString())
    assert.deepEqual(found, [a, b, c].map(String))
  })

  it('asks nobody in a small network, finds its home in a large one, and keeps it when the DHT fails', async () => {
    const asked: string[] = []
    let failing = false
    let peers = SHARD_LOOK_PEERS_MIN - 1
    const ids = await Promise.all(Array.from({ length: SHARD_PROVIDERS_MAX + 10 }, async () => peerIdFromString((await signer()).peer)))
    const root = await capabilityKey(EDGE)
    const { peer } = await signer()
    const dht = {
      async * findProviders (key: CID) {
        asked.push(key.toString())
        if (failing) throw new Error('broken')
        // More than fit under the common key; enough under any other.
        yield { name: 'PEER_RESPONSE', providers: (key.equals(root) ? ids : ids.slice(0, 100)).map(id => ({ id, multiaddrs: [] })) }
      }
    } as unknown as KadDHT
    const placement = new Placement({ dht, dhtPeers: () => peers, log: silentLog }, peer)
    const signal = AbortSignal.timeout(5000)
    assert.deepEqual((await placement.keys(EDGE, signal)).map(String), [root.toString()])
    assert.deepEqual(asked, [])
    peers = SHARD_LOOK_PEERS_MIN
    const expected = await Promise.all(listedIn(placeOf(peer), 1).map(async shard => (await capabilityKey(EDGE, numberOf(shard))).toString()))
    assert.deepEqual((await placement.keys(EDGE, signal)).map(String), expected)
    assert.deepEqual(asked, [root.toString(), expected[0]])
    assert.deepEqual((await placement.keys(EDGE, signal)).map(String), expected)
    assert.deepEqual(asked.slice(2), [expected[0]], 'the next time it looks at its home only')
    failing = true
    assert.deepEqual((await placement.keys(EDGE, signal)).map(String), expected)
  })
})
