import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Audience } from '../../../daemon/market/audience.ts'
import { AUDIENCE_MAX, BULLETIN_VALIDITY_MS, SHARD_PUBLISHERS_MAX, SUBSCRIPTIONS_MAX } from '../../../daemon/market/index.ts'
import { depthFor, publishTopics, subscriptions, topicOf } from '../../../daemon/market/topics.ts'
import { placeOf, type Place } from '../../../daemon/network/index.ts'

const place = fc.record({ hash: fc.nat({ max: 2 ** 32 - 1 }), rank: fc.nat({ max: 32 }) })
const publishers = (count: number, seed: number): Place[] => Array.from({ length: count }, (_, i) => placeOf(`${seed}/${i}`))

describe('market: topics', () => {
  it('are one for each family while it is small', () => {
    fc.assert(fc.property(place, who => {
      assert.deepEqual(publishTopics(['table', 'archive'], who, () => 0), ['prices/table/0', 'prices/archive/0'])
      assert.deepEqual(subscriptions(['table'], who, () => 0).map(({ topic }) => topic), ['prices/table/0'])
    }))
    for (const count of [0, 1, 20, 63, 200]) assert.equal(depthFor(publishers(count, 1).map(({ rank }) => rank)), 0)
  })

  it('are numbered through all depths without a collision', () => {
    const topics = new Set<string>()
    for (let depth = 0; depth <= 6; depth++) for (let shard = 0; shard < 2 ** depth; shard++) topics.add(topicOf('table', depth, depth === 0 ? 0 : shard * 2 ** (32 - depth)))
    assert.equal(topics.size, 127)
    assert.equal(topicOf('table', 1, 0x80000000), 'prices/table/2')
    assert.equal(topicOf('table', 6, 0xffffffff), 'prices/table/126')
  })

  it('are at most four, the common ones first', () => {
    fc.assert(fc.property(place, fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')).map(list => [...new Set(list)]), fc.nat({ max: 16 }), (who, families, depth) => {
      const heard = subscriptions(families, who, () => depth)
      assert.ok(heard.length <= SUBSCRIPTIONS_MAX)
      assert.equal(new Set(heard.map(({ topic }) => topic)).size, heard.length)
      assert.deepEqual(heard.filter(({ common }) => common).map(({ family }) => family), families.slice(0, SUBSCRIPTIONS_MAX))
    }))
  })

  it('carry about 256 publishers at most, at any size, and tell everybody the size', () => {
    fc.assert(fc.property(fc.integer({ min: 300, max: 20_000 }), fc.nat(), (count, seed) => {
      const all = publishers(count, seed)
      // From nothing, everybody looks at who is on the common topic, until that changes nothing any more.
      let depth = 0
      for (let round = 0; round < 4; round++) depth = depthFor(all.filter(({ rank }) => rank >= depth).map(({ rank }) => rank))
      const load = new Map<string, number>()
      for (const who of all) for (const topic of publishTopics(['table'], who, () => depth)) load.set(topic, (load.get(topic) ?? 0) + 1)
      assert.ok(Math.max(...load.values()) < SHARD_PUBLISHERS_MAX * 1.7, `${Math.max(...load.values())} at ${count}, depth ${depth}`)
      assert.ok((load.get('prices/table/0') ?? 0) > SHARD_PUBLISHERS_MAX / 4, 'the common topic carries a sample')
    }), { numRuns: 15 })
  })
})

describe('market: audience', () => {
  it('counts who was heard of late, in the families watched, within its limit', () => {
    const audience = new Audience()
    audience.watch(['table'])
    audience.note('table', 'a', 0)
    audience.note('table', 'b', 1000)
    audience.note('archive', 'c', 1000)
    assert.equal(audience.publishers('table', 1000), 2)
    assert.equal(audience.publishers('archive', 1000), 0)
    assert.equal(audience.publishers('table', BULLETIN_VALIDITY_MS), 1)
    for (let i = 0; i < 2 * AUDIENCE_MAX; i++) audience.note('table', `p${i}`, 1000)
    assert.equal(audience.publishers('table', 1000), AUDIENCE_MAX)
    audience.watch([])
    assert.equal(audience.publishers('table', 1000), 0)
  })

  it('takes a family it does not hear for as large as the largest it does', () => {
    const audience = new Audience()
    assert.equal(audience.depth('table', 0), 0)
    audience.watch(['table', 'archive'])
    for (let i = 0; i < AUDIENCE_MAX; i++) audience.note('table', `p${i}`, 0)
    assert.equal(audience.depth('table', 0), 1)
    assert.equal(audience.depth('archive', 0), 0)
    assert.equal(audience.depth('images', 0), 1)
  })
})
