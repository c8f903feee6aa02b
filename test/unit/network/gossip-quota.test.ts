import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { GOSSIP_BURST_SECONDS, GOSSIP_BYTES_BURST, GOSSIP_MESSAGES_PER_SECOND, GOSSIP_MESSAGES_PER_SECOND_AND_PEER, GOSSIP_PENDING_MAX, GOSSIP_PENDING_PER_PEER_MAX } from '../../../daemon/network/constants.ts'
import { GOSSIP_SETTLED_MS, GOSSIP_SETTLED_PART } from '../../../daemon/network/gossip-constants.ts'
import { GossipQuota } from '../../../daemon/network/gossip-quota.ts'

const BURST = GOSSIP_MESSAGES_PER_SECOND_AND_PEER * GOSSIP_BURST_SECONDS

/** How many of so many messages are taken. */
function taken (quota: GossipQuota, peer: string, messages: number, now: number, count = 1): number {
  let sum = 0
  for (let i = 0; i < messages; i++) if (quota.message(peer, count, now) === 'take') sum++
  return sum
}

describe('network: gossip quota', () => {
  it('is not renewed by reconnecting', () => {
    const quota = new GossipQuota()
    quota.connected('a', 0)
    assert.equal(taken(quota, 'a', 2 * BURST, 0), BURST)
    assert.ok(quota.frame('a', GOSSIP_BYTES_BURST, 0))
    quota.disconnected('a')
    quota.connected('a', 1)
    assert.equal(quota.message('a', 1, 0), 'flood')
    assert.equal(quota.frame('a', GOSSIP_BYTES_BURST, 1), false)
  })

  it('is never exceeded by all together, whoever comes and goes', () => {
    const event = fc.record({ peer: fc.nat({ max: 50 }), step: fc.nat({ max: 300 }), messages: fc.nat({ max: 400 }), leaves: fc.boolean() })
    fc.assert(fc.property(fc.array(event, { maxLength: 60 }), events => {
      const quota = new GossipQuota(8)
      let [now, sum] = [0, 0]
      for (const { peer, step, messages, leaves } of events) {
        now += step
        quota.connected(String(peer), now)
        sum += taken(quota, String(peer), messages, now)
        assert.ok(sum <= GOSSIP_MESSAGES_PER_SECOND * (GOSSIP_BURST_SECONDS + now / 1000) + 1e-6)
        if (leaves) quota.disconnected(String(peer))
      }
    }), { numRuns: 30 })
  })

  it('leaves those that stay their part beside any number that take turns', () => {
    const quota = new GossipQuota()
    for (const peer of ['settled', 'other']) quota.connected(peer, 0)
    let now = GOSSIP_SETTLED_MS
    for (let i = 0; i < 200; i++) {
      now += 10
      quota.connected(`sybil${i}`, now)
      taken(quota, `sybil${i}`, BURST, now, 2)
      quota.disconnected(`sybil${i}`)
    }
    assert.equal(quota.message('sybil', 2, now), 'busy', 'a newcomer waits')
    assert.equal(taken(quota, 'settled', BURST, now, 2), Math.min(BURST, GOSSIP_MESSAGES_PER_SECOND * GOSSIP_BURST_SECONDS * GOSSIP_SETTLED_PART))
    assert.equal(quota.message('other', 2, now), 'take')
    quota.disconnected('other')
    quota.connected('other', now)
    assert.equal(quota.message('other', 2, now), 'busy', 'who comes back is a newcomer')
  })

  it('remembers so many, the one gone for longest goes first, and never one that is connected', () => {
    const quota = new GossipQuota(3)
    for (const peer of ['a', 'b', 'c']) {
      quota.connected(peer, 0)
      taken(quota, peer, BURST, 0)
    }
    quota.disconnected('b')
    quota.disconnected('a')
    quota.connected('d', 0)
    assert.equal(quota.size, 3)
    quota.connected('b', 0)
    assert.deepEqual([taken(quota, 'b', 1, 0), taken(quota, 'c', 1, 0)], [1, 0], 'b was forgotten, then a for it')
    for (const peer of ['e', 'f', 'g']) quota.connected(peer, 0)
    assert.equal(quota.size, 6)
    quota.stop()
    assert.equal(quota.size, 3)
  })

  it('bounds what waits, of each and of all', () => {
    const quota = new GossipQuota()
    const done: Array<() => void> = []
    for (let peer = 0; peer < 10; peer++) for (let i = 0; i < 2 * GOSSIP_PENDING_PER_PEER_MAX; i++) if (quota.message(String(peer), 1, 0) === 'take') done.push(quota.wait(String(peer)))
    assert.equal(quota.pending, GOSSIP_PENDING_MAX)
    for (const each of done) each()
    assert.equal(quota.pending, 0)
    assert.equal(quota.message('9', 1, 1000), 'take')
  })
})
