import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DISK_RESERVE_BYTES, ORDER_MS_DEFAULT, ORDERS_PER_SLOT, OUTPUT_ESTIMATE_MIN, RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN } from '../../../daemon/task-protocol/constants.ts'
import { DiskBudget, diskNeed, QueueTime, queueRefusal } from '../../../daemon/task-protocol/worker-load.ts'

const GIB = 2 ** 30

describe('when a worker has no room', () => {
  it('its hint follows how long orders take, how many wait and how many engines there are', () => {
    const time = new QueueTime()
    assert.equal(time.untilFree(2, 2), ORDER_MS_DEFAULT / 2)
    assert.equal(time.untilFree(5, 2), ORDER_MS_DEFAULT * 4 / 2)
    assert.equal(time.untilFree(0, 0), ORDER_MS_DEFAULT, 'nothing is divided by no engines')
    for (let i = 0; i < 100; i++) time.took(100)
    assert.ok(Math.abs(time.untilFree(11, 2) - 500) < 5)
  })

  it('its hint stays within limits, whatever was measured', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 1e9, noNaN: true })), fc.nat(10_000), fc.nat(1000), (times, active, slots) => {
      const time = new QueueTime()
      for (const ms of times) time.took(ms)
      const hint = time.untilFree(active, slots)
      assert.ok(Number.isInteger(hint) && hint >= RETRY_AFTER_MS_MIN && hint <= RETRY_AFTER_MS_MAX, String(hint))
    }))
  })

  it('refuses orders beyond a queue that is in proportion to its engines', () => {
    assert.equal(queueRefusal(2 * ORDERS_PER_SLOT - 1, 2, 700), undefined)
    assert.deepEqual(queueRefusal(2 * ORDERS_PER_SLOT, 2, 700), { reason: 'busy', message: `${2 * ORDERS_PER_SLOT} orders are at work or wait here already`, retryAfterMs: 700 })
  })

  it('expects an output in proportion to the input, within what is allowed', () => {
    assert.equal(diskNeed(GIB, 8 * GIB), 3 * GIB)
    assert.equal(diskNeed(GIB, GIB), 2 * GIB)
    assert.equal(diskNeed(10, GIB), 10 + OUTPUT_ESTIMATE_MIN)
    assert.equal(diskNeed(10, 5), 15)
  })

  it('leaves a reserve on the disk, also for what it promised and nobody wrote yet', () => {
    const budget = new DiskBudget()
    const free = DISK_RESERVE_BYTES + 10 * GIB
    assert.match(budget.refuse('a', 11 * GIB, free, 5)?.message ?? '', /no room on disk/)
    assert.equal(budget.refuse('a', 10 * GIB, free, 5), undefined)
    const release = budget.reserve('a', 6 * GIB)
    assert.deepEqual([budget.refuse('b', 5 * GIB, free, 5)?.reason, budget.refuse('b', 4 * GIB, free, 5)], ['busy', undefined])
    release()
    release()
    assert.equal(budget.reserved, 0)
    assert.equal(budget.refuse('b', 5 * GIB, free, 5), undefined)
  })

  it('gives one requester no more than its share beyond its first order', () => {
    const budget = new DiskBudget()
    const free = DISK_RESERVE_BYTES + 10 * GIB
    budget.reserve('a', 4 * GIB)
    assert.match(budget.refuse('a', 2 * GIB, free, 5)?.message ?? '', /at most half/)
    assert.equal(budget.refuse('a', GIB, free, 5), undefined)
    assert.equal(budget.refuse('b', 6 * GIB, free, 5), undefined, 'the first may take more')
  })

  it('never promises more than there is, whatever comes and goes', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(4000), fc.boolean()), { maxLength: 60 }), list => {
      const budget = new DiskBudget()
      const free = DISK_RESERVE_BYTES + 10_000
      const held: Array<() => void> = []
      for (const [who, need, give] of list) {
        if (give) held.shift()?.()
        else if (budget.refuse(`r${who}`, need, free, 1) == null) held.push(budget.reserve(`r${who}`, need))
        assert.ok(budget.reserved >= 0 && budget.reserved <= free - DISK_RESERVE_BYTES)
      }
      for (const release of held) release()
      assert.equal(budget.reserved, 0)
    }))
  })
})
