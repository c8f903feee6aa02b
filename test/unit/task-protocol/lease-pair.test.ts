/** Both lease machines together, on two queues that keep their order, task streams that do not, and a line that breaks. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createLeaseWorker } from '../../../daemon/task-protocol/lease-worker.ts'
import { compareGenerations, type LeaseFault, type OfferRef, type OrderRef, type ResultRef } from '../../../daemon/task-protocol/lease-model.ts'
import { SLOTS, World } from './lease-world.ts'

const seeds = fc.integer({ min: 1, max: 2 ** 31 - 1 })

describe('lease machines together', () => {
  it('give every order exactly one end and every credit back, whatever the order of events', () => {
    fc.assert(fc.property(seeds, seed => {
      const world = new World(seed)
      world.run(400, false)
      world.settle()
      assert.deepEqual(world.problems, [])
      assert.equal(world.refusals, 0, 'a worker refused although the requester kept to its credits')
      assert.deepEqual([...world.given].filter(([, state]) => state === 'open'), [])
      const requester = world.requester.inspect()
      const worker = world.worker.inspect()
      assert.deepEqual(requester.outstanding, [])
      assert.deepEqual(requester.credits, requester.state === 'granted' ? SLOTS : { process: 0, inline: 0 })
      assert.equal(requester.bytes, 0)
      assert.equal(requester.queued, 0)
      assert.deepEqual(worker.active, [])
      assert.equal(worker.unacked + worker.held, 0)
      assert.equal(world.late, 0)
    }), { numRuns: 300 })
  })

  it('obey no older generation and lose no order when lines break and old messages still come', () => {
    fc.assert(fc.property(seeds, seed => {
      const world = new World(seed)
      const before = new Set(world.running)
      world.run(500, true)
      for (const run of world.running) if (!before.has(run)) assert.ok(run.aborted || compareGenerations(run.generation, world.newestGranted!) === 0, 'an order of an older lease runs on')
      world.settle()
      assert.deepEqual(world.problems.filter(problem => !problem.startsWith('refused:')), [])
      assert.deepEqual([...world.given].filter(([, state]) => state === 'open'), [])
      assert.deepEqual(world.requester.inspect().outstanding, [])
    }), { numRuns: 300 })
  })

  /** Whether a run with a planted fault shows something wrong. */
  function found (fault: LeaseFault, breaks: boolean, wrong: (world: World) => boolean): number {
    let hits = 0
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(seed * 7919, new Set([fault]))
      world.run(400, breaks)
      if (wrong(world)) hits++
    }
    return hits
  }

  it('show a planted credit leak', () => {
    assert.ok(found('credit-leak', false, world => {
      world.settle()
      const { credits, state } = world.requester.inspect()
      return state === 'granted' && (credits.process < SLOTS.process || credits.inline < SLOTS.inline)
    }) > 30)
  })

  it('show a planted lost cancel', () => {
    const cancelled = (faults: ReadonlySet<LeaseFault>): boolean => {
      const world = new World(5, faults)
      world.reopen()
      while (world.deliver());
      world.requesterStep({ type: 'offer', offer: { offer: 1, deadline: 0 } })
      while (world.deliver());
      world.given.set('1/0/1', 'open')
      world.requesterStep({ type: 'orders', offer: 1, orders: [{ offer: 1, block: 0, attempt: 1, weight: 1, large: false }] })
      while (world.deliver());
      assert.equal(world.running.length, 1)
      world.requesterStep({ type: 'cancel', attempts: [{ offer: 1, block: 0, attempt: 1 }] })
      while (world.deliver());
      return world.running[0]!.aborted
    }
    assert.equal(cancelled(new Set()), true)
    assert.equal(cancelled(new Set(['lost-cancel'])), false)
  })

  it('show a stale generation that is obeyed', () => {
    const started = (faults: ReadonlySet<LeaseFault>): number => {
      const worker = createLeaseWorker<OrderRef, ResultRef, OfferRef>({ slots: SLOTS, faults, refusal: order => ({ ...order, ok: false, weight: 0 }) })
      const old = { incarnation: 1, counter: 1 }
      const fresh = { incarnation: 1, counter: 2 }
      for (const generation of [old, fresh]) worker.step({ type: 'message', generation, message: { type: 'request', generation } }, 0)
      worker.step({ type: 'message', generation: old, message: { type: 'offer', offer: { offer: 1, deadline: 0 } } }, 0)
      const effects = worker.step({ type: 'message', generation: old, message: { type: 'orders', orders: [{ offer: 1, block: 0, attempt: 1, weight: 1, large: false }] } }, 0)
      return effects.filter(effect => effect.type === 'start').length
    }
    assert.equal(started(new Set()), 0)
    assert.equal(started(new Set(['stale-generation-obeyed'])), 1)
  })
})
