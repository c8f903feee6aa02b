import assert from 'node:assert/strict'
import fc from 'fast-check'
import { JOB_LIMITS } from '../../../daemon/coordinator/constants.ts'
import { BELIEVED, failed, joined, last, ok, Rig } from './rig.ts'

const errorOf = (rig: Rig): { code: string, message: string, details?: Record<string, unknown> } => {
  rig.step({ type: 'aborted' })
  const { error } = last(rig.of('end'))
  assert.ok(error != null)
  return error
}
const breakerOf = (rig: Rig, worker: string): string => rig.machine.counts().workers.find(({ id }) => id === worker)?.breaker?.state ?? 'closed'

/** Lets a worker fail whatever it is given until it is given nothing. */
function failAll (rig: Rig, worker: string, reason: Parameters<typeof failed>[3] = 'crash'): number {
  let failures = 0
  for (let orders = rig.orders(); orders.some(order => order.startsWith(`${worker}:`)); orders = rig.orders()) {
    for (const order of orders) {
      const [to, block, attempt] = order.split(/[:/]/) as [string, string, string]
      if (to !== worker) continue
      rig.step(failed(worker, Number(block), Number(attempt), reason))
      failures++
    }
  }
  return failures
}

describe('coordinator/machine: a peer that fails repeatedly', () => {
  it('is cut off, tried with one block after a while, cut off for longer if that fails, and gets its share again if it does not', () => {
    const rig = Rig.started(new Array<number>(20).fill(5), { bad: 2, good: 1 }, BELIEVED)
    rig.random = () => 1
    assert.ok(failAll(rig, 'bad') >= JOB_LIMITS.breakerFailures)
    assert.deepEqual([breakerOf(rig, 'bad'), last(rig.of('breaker'))], ['open', { type: 'breaker', worker: 'bad', state: 'open', cause: 'crash', level: 1, retryAt: 1000 }])
    assert.equal(last(rig.of('timer')).at, 1000)
    assert.equal(rig.machine.counts().workers.find(({ id }) => id === 'bad')?.breaker?.untilMs, 1000)
    rig.now = 1000
    rig.step({ type: 'tick' })
    const [trial, ...more] = rig.orders()
    assert.deepEqual([trial?.slice(0, 4), more, breakerOf(rig, 'bad')], ['bad:', [], 'half-open'])
    const [, block, attempt] = trial!.split(/[:/]/).map(Number) as [number, number, number]
    rig.step(failed('bad', block, attempt, 'crash'))
    assert.equal(last(rig.of('breaker')).retryAt, 3000)
    rig.now = 3000
    rig.step({ type: 'tick' })
    const [, again, number] = last(rig.orders()).split(/[:/]/).map(Number) as [number, number, number]
    rig.step(ok('bad', again, number))
    assert.equal(breakerOf(rig, 'bad'), 'closed')
    assert.equal(rig.orders().length, 2, 'as many as it takes')
  })

  it('does not use up what its blocks may fail', () => {
    const rig = Rig.started(new Array<number>(4).fill(5), { b1: 4, b2: 4, b3: 4, good: 1 }, { ...BELIEVED, limits: { breakerMs: 1e9, breakerMsMax: 1e9 } })
    // Three peers fail all they are given; each of the four blocks fails on all of them.
    for (let turn = 0; turn < 10 && rig.machine.state === 'running'; turn++) {
      for (const order of rig.orders()) {
        const [to, block, attempt] = order.split(/[:/]/) as [string, string, string]
        if (to === 'good') rig.step(ok(to, Number(block), Number(attempt)))
        else rig.step(failed(to, Number(block), Number(attempt), 'crash'))
      }
      rig.settle()
    }
    assert.equal(rig.of('finish').length, 1)
  })

  it('is treated so, too, if it comes and goes', () => {
    const rig = Rig.started(new Array<number>(20).fill(5), { flaps: 1, steady: 1 })
    for (let i = 0; i < JOB_LIMITS.breakerFailures; i++) {
      rig.orders()
      rig.step({ type: 'lost', worker: 'flaps', reason: 'connection closed' })
      rig.step(joined('flaps'))
    }
    assert.deepEqual(rig.orders().filter(order => order.startsWith('flaps')), [])
    assert.equal(last(rig.of('breaker')).cause, 'lost')
  })

  it('or if it is busy for ever', () => {
    const rig = Rig.started([5, 5], { busy: 1 }, { limits: { workerRefusals: 3 } })
    for (let i = 0; i < 4; i++) {
      const [order] = rig.orders()
      const [, block, attempt] = order!.split(/[:/]/).map(Number) as [number, number, number]
      rig.step(failed('busy', block, attempt, 'busy', { retryAfterMs: 10 }))
      rig.now += 10
      rig.step({ type: 'tick' })
    }
    assert.equal(last(rig.of('breaker')).cause, 'refused')
  })

  it('is what an earlier job of this process knew', () => {
    const rig = Rig.started([5], { a: 1 }, { breakers: [{ worker: 'a', state: 'open', cause: 'hang', level: 2, retryAt: 700 }] })
    assert.deepEqual(rig.orders(), [])
    assert.equal(last(rig.of('timer')).at, 700)
    rig.now = 700
    rig.step({ type: 'tick' })
    assert.deepEqual(rig.orders(), ['a:0/1'])
  })

  it('ends the job if there is nobody else, after a while, and says why', () => {
    const rig = Rig.started(new Array<number>(9).fill(5), { a: 1 }, { limits: { cutOffMs: 5000, engineFailures: 100, blockFailures: 100, blockAttempts: 100 } })
    for (let i = 0; i < 100 && rig.machine.state === 'running'; i++) {
      failAll(rig, 'a')
      rig.now = Math.max(rig.now, last(rig.of('timer')).at ?? rig.now)
      rig.step({ type: 'tick' })
    }
    assert.match(errorOf(rig).message, /^no working worker is left; the last failure: crash: it was crash$/)
    assert.ok(rig.now >= 5000 && rig.now < 10_000, String(rig.now))
  })
})

describe('coordinator/machine: a block that fails wherever it is tried', () => {
  it('ends the job with its number, the peers it failed on, and what the last of them said', () => {
    const rig = Rig.started([5], { a: 1, b: 1, c: 1, d: 1 })
    for (let i = 0; i < 3; i++) {
      const [worker, block, attempt] = last(rig.orders()).split(/[:/]/) as [string, string, string]
      rig.step(failed(worker, Number(block), Number(attempt), 'out-of-memory'))
    }
    const error = errorOf(rig)
    assert.equal(error.message, 'block 0 failed 3 times (on a, b, c), the last on c: out-of-memory: it was out-of-memory')
    assert.deepEqual(error.details, { block: 0, worker: 'c', attempts: 3, peers: ['a', 'b', 'c'] })
  })

  it('is not what one worker says three times while others are there', () => {
    const rig = Rig.started([5], { a: 1 })
    rig.orders()
    rig.step(failed('a', 0, 1, 'crash'))
    rig.orders()
    // Somebody joins who can take it: what a says a second time does not count.
    rig.step(joined('b'))
    rig.step(failed('a', 0, 2, 'crash'))
    assert.deepEqual(rig.orders(), ['b:0/3'])
    rig.step(failed('b', 0, 3, 'crash'))
    assert.equal(rig.machine.state, 'running')
  })

  it('is what the only worker says three times', () => {
    const rig = Rig.started([5], { a: 1 }, { limits: { breakerMs: 10 } })
    for (let i = 1; i <= 3; i++) {
      rig.orders()
      rig.step(failed('a', 0, i, 'crash'))
    }
    assert.match(errorOf(rig).message, /block 0 failed 3 times \(on a\)/)
  })

  it('is not believed of peers that never did anything right while one that did has not tried it', () => {
    const rig = Rig.started([5, 5], { good: 1, x: 1, y: 1, z: 1 })
    assert.deepEqual(rig.orders(), ['good:0/1', 'x:1/1'])
    rig.step(ok('good', 0))
    rig.step({ type: 'slots', worker: 'good', slots: 0 })
    for (const attempt of [1, 2]) rig.step(failed(['x', 'y'][attempt - 1]!, 1, attempt, 'crash'))
    rig.step({ type: 'slots', worker: 'good', slots: 1 })
    rig.step(failed('z', 1, 3, 'crash'))
    assert.equal(rig.machine.state, 'running')
    assert.equal(last(rig.orders()), 'good:1/4')
  })

  it('ends it after a bounded number of attempts, whoever they are held against', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.constantFrom('crash', 'transfer', 'hang', 'unavailable'), (workers, reason) => {
      const rig = Rig.started([5, 5, 5, 5], Object.fromEntries(Array.from({ length: workers }, (_, i) => [`w${i}`, 2])), { limits: { breakerMs: 10, breakerMsMax: 100 } })
      let attempts = 0
      for (let i = 0; i < 1000 && rig.machine.state === 'running'; i++) {
        for (const order of rig.orders()) {
          const [to, block, attempt] = order.split(/[:/]/) as [string, string, string]
          if (block !== '2') rig.step(ok(to, Number(block), Number(attempt)))
          else {
            attempts++
            rig.step(failed(to, 2, Number(attempt), reason as 'crash'))
          }
        }
        rig.now += 10
        rig.step({ type: 'tick' })
      }
      assert.equal(rig.machine.state, 'failed')
      assert.ok(attempts <= JOB_LIMITS.blockAttempts, `${attempts} attempts`)
    }))
  })
})

describe('coordinator/machine: why nothing happens', () => {
  const reasons = (rig: Rig): string[] => rig.machine.explain(rig.now).peers.map(({ peer, reason }) => `${peer} ${reason}`)

  it('names each worker that gets nothing, and the reason', () => {
    const rig = new Rig({ maxPrice: '5', priceUnit: 'credit', limits: { breakerFailures: 1 } })
    rig.step()
    rig.step(...['busy', 'cut', 'doubted', 'drains', 'gone', 'liar', 'other', 'works'].map(id => joined(id)), { type: 'joined', worker: 'dear', kind: 'remote', slots: 1, asked: { price: '6', unit: 'credit' } }, { type: 'settled', count: 9 })
    rig.step({ type: 'split', sizes: new Array<number>(8).fill(5) })
    rig.step(
      failed('busy', 0, 1, 'busy', { retryAfterMs: 500 }), failed('cut', 1, 1, 'crash'), { type: 'suspect', worker: 'doubted', reason: 'silent' }, ok('doubted', 2),
      failed('drains', 3, 1, 'draining'), { type: 'lost', worker: 'gone', reason: 'dead' }, { type: 'distrusted', worker: 'liar', reason: 'lied' }, failed('other', 6, 1, 'unsupported')
    )
    assert.deepEqual(reasons(rig), ['busy busy', 'cut cut-off', 'doubted suspect', 'drains draining', 'gone lost', 'liar distrusted', 'other refused', 'dear price'])
    const { peers } = rig.machine.explain(100)
    assert.equal(peers.find(({ peer }) => peer === 'busy')?.inMs, 400)
    assert.match(peers.find(({ peer }) => peer === 'cut')?.message ?? '', /crash/)
    assert.ok((peers.find(({ peer }) => peer === 'cut')?.inMs ?? 0) > 0)
  })

  it('and what the job waits for', () => {
    const waits = (rig: Rig): string[] => rig.machine.explain(rig.now).job.map(({ reason }) => reason)
    const rig = new Rig()
    rig.step({ type: 'split', sizes: [5] })
    assert.deepEqual(waits(rig), ['search'])
    rig.step({ type: 'settled', count: 0 })
    assert.deepEqual(rig.machine.explain(0).job, [{ reason: 'worker', message: 'no worker can take blocks', inMs: JOB_LIMITS.noneMs }])
    rig.step(joined('a'))
    assert.deepEqual(waits(rig), ['splitter'])
    rig.step({ type: 'widened', epoch: 1 }, { type: 'widened', epoch: 2 })
    assert.deepEqual(waits(rig), ['types'])
    rig.step({ type: 'split-ended' }, failed('a', 0, 1, 'cancelled'))
    assert.deepEqual(waits(rig), ['results'])
    rig.step(ok('a', 0, 2))
    rig.settle()
    assert.deepEqual(waits(rig), ['output'])
    rig.step({ type: 'finished' }, { type: 'renamed' })
    assert.deepEqual(waits(rig), [])
  })

  it('an idle worker has nothing left to do', () => {
    const rig = Rig.started([5], { a: 1, b: 1 })
    assert.deepEqual(reasons(rig), ['b idle'])
  })

  it('a slow worker is passed over near the end', () => {
    const rig = Rig.started([1000, 1000, 1000, 1000, 1000], { fast: 1, slow: 1 }, { hedgeShare: 0 })
    for (const block of [0, 2, 3]) {
      rig.now += 100
      rig.step(ok('fast', block))
    }
    rig.now = 350
    rig.step(failed('slow', 1, 1, 'transfer'))
    assert.deepEqual(reasons(rig), ['slow passed-over'])
  })
})
