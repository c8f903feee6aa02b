import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Attempt } from '../../../daemon/coordinator/block-table.ts'
import { AHEAD_GAIN, AHEAD_MS, FIRST_BLOCKS } from '../../../daemon/coordinator/constants.ts'
import { WorkerEntry } from '../../../daemon/coordinator/worker-table.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'
import { ok, Rig } from './rig.ts'

const SLOTS = 1024
const BYTES = 1000

/** A peer that declares many slots and really works on a few blocks at a time, each of which takes it so long; kept supplied to its capacity. */
function supplied (cores: number, blockMs: number, untilMs: number, slots = SLOTS): { worker: WorkerEntry, most: number, done: number } {
  const worker = new WorkerEntry('w', 'remote')
  worker.join('remote', slots, undefined)
  const freeAt = new Array<number>(cores).fill(0)
  const out: Array<{ attempt: Attempt, at: number }> = []
  let [now, most, done] = [0, 0, 0]
  while (now <= untilMs) {
    while (worker.open.size < worker.capacity) {
      const attempt = new Attempt(0, 1, worker, 0, now)
      worker.give(attempt, BYTES, now)
      const core = freeAt.indexOf(Math.min(...freeAt))
      freeAt[core] = Math.max(now, freeAt[core]!) + blockMs
      out.push({ attempt, at: freeAt[core]! })
    }
    most = Math.max(most, worker.open.size)
    const { attempt, at } = out.shift()!
    now = at
    worker.take(attempt, BYTES, now, true)
    done++
  }
  return { worker, most, done }
}

describe('coordinator/worker-table: capacity', () => {
  it('is a few blocks until something came back, whatever is declared; failures prove nothing', () => {
    const worker = new WorkerEntry('w', 'remote')
    worker.join('remote', SLOTS, 1e12)
    assert.equal(worker.capacity, FIRST_BLOCKS)
    const attempt = new Attempt(0, 1, worker, 0, 0)
    worker.give(attempt, BYTES, 0)
    worker.take(attempt, BYTES, 50, false)
    assert.equal(worker.capacity, FIRST_BLOCKS)
    worker.slots = 1
    assert.equal(worker.capacity, 1)
    worker.slots = 0
    assert.equal(worker.capacity, 0, 'a draining worker gets nothing')
  })

  it('is all its slots for the worker of this node', () => {
    const worker = new WorkerEntry('local', 'local')
    worker.join('local', 64, undefined)
    assert.equal(worker.capacity, 64)
  })

  it('doubles with every result while they are too quick to be measured', () => {
    const worker = new WorkerEntry('w', 'remote')
    worker.join('remote', SLOTS, undefined)
    const seen: number[] = []
    for (let i = 0; i < 10; i++) {
      const attempt = new Attempt(i, 1, worker, 0, i / 100)
      worker.give(attempt, BYTES, i / 100)
      worker.take(attempt, BYTES, i / 100 + 0.001, true)
      seen.push(worker.capacity)
    }
    assert.deepEqual(seen, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024])
  })

  it('follows what it does, not what it declares', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 20_000 }), (cores, blockMs) => {
      const { most } = supplied(cores, blockMs, 60_000)
      const ahead = cores / blockMs * Math.max(AHEAD_MS, AHEAD_GAIN * blockMs)
      assert.ok(most <= Math.max(FIRST_BLOCKS, 1.01 * ahead), `${most} out, ${ahead} can be done`)
    }), { numRuns: 50 })
  })

  it('leaves no honest slot idle for long, however long a block takes', () => {
    for (const blockMs of [2, 100, 1500, 10_000, 60_000]) {
      const untilMs = 30 * blockMs
      const { worker, done } = supplied(16, blockMs, untilMs, 16)
      assert.equal(worker.capacity, 16, `${blockMs} ms`)
      assert.ok(done >= 0.75 * 16 * 30, `${done} blocks of ${blockMs} ms`)
    }
  })
})

describe('coordinator/machine: capacity', () => {
  const worker = (id: string, slots: number, price: string): JobEventIn => ({ type: 'joined', worker: id, kind: 'remote', slots, asked: { price, unit: 'credit' } })
  const begun = (inFlight?: number): Rig => {
    const rig = new Rig({ inFlight })
    rig.step()
    rig.step(worker('cheap', SLOTS, '1'), ...Array.from({ length: 10 }, (_, i) => worker(`honest${i}`, 4, '10')), { type: 'settled', count: 11 })
    rig.step({ type: 'split', sizes: new Array<number>(200).fill(BYTES) }, { type: 'split-ended' })
    return rig
  }
  const shares = (orders: string[]): [cheap: number, honest: number] => {
    const cheap = orders.filter(order => order.startsWith('cheap')).length
    return [cheap, orders.length - cheap]
  }

  it('who asks least and declares most gets a few blocks, the others theirs', () => {
    const rig = begun()
    const orders = rig.orders()
    assert.deepEqual(shares(orders), [FIRST_BLOCKS, 10 * FIRST_BLOCKS])
    // One block takes it two seconds: it gets what it does in five.
    const mine = orders.filter(order => order.startsWith('cheap')).map(order => Number(/:(\d+)/.exec(order)?.[1]))
    rig.now = 2000
    rig.step(ok('cheap', mine[0]!))
    assert.deepEqual(shares(rig.orders())[0], AHEAD_GAIN - 1)
  })

  it('a bench that says how many orders are in flight means it', () => {
    assert.deepEqual(shares(begun(15).orders()), [15, 150])
  })
})
