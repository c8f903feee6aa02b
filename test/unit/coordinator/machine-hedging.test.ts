import assert from 'node:assert/strict'
import { FIRST_BLOCKS, HEDGES_MIN, LATE_CAUTION, LATE_FACTOR, LATE_MS_MIN } from '../../../daemon/coordinator/constants.ts'
import { Pace } from '../../../daemon/coordinator/pace.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'
import { BELIEVED, failed, joined, last, ok, plain, Rig } from './rig.ts'

const suspect = (worker: string): JobEventIn => ({ type: 'suspect', worker, reason: 'silent for 2000 ms' })
const lost = (worker: string): JobEventIn => ({ type: 'lost', worker, reason: 'dead' })
const cancels = (rig: Rig): string[] => rig.of('cancel').flatMap(({ worker, attempts }) => attempts.map(({ block, attempt }) => `${worker}:${block}/${attempt}`))
const told = (rig: Rig, change: string): string[] => rig.of('news').flatMap(({ news }) => news.type === 'block' && news.change === change ? [`${news.peer}:${news.block} ${news.reason}`] : [])

describe('coordinator/machine: copies of what a suspect worker has', () => {
  it('go to others before blocks that nobody has', () => {
    const rig = Rig.started([5, 5, 5, 5], { a: 1, b: 1 })
    assert.deepEqual(rig.orders(), ['a:0/1', 'b:1/1'])
    rig.step(suspect('a'))
    assert.deepEqual(rig.orders(), [], 'nobody has room')
    rig.step(ok('b', 1))
    assert.deepEqual(rig.orders(), ['b:0/2'])
    assert.deepEqual(told(rig, 'hedged'), ['b:0 a is suspect: silent for 2000 ms'])
    const { hedged, hedgedBytes, redispatched, workers } = rig.machine.counts()
    assert.deepEqual([hedged, hedgedBytes, redispatched, workers[0]?.suspect], [1, 5, 0, 'silent for 2000 ms'])
  })

  it('the first result wins, and the other attempt is cancelled at once', () => {
    for (const [winner, attempt, loser] of [['b', 2, 'a:0/1'], ['a', 1, 'b:0/2']] as const) {
      const rig = Rig.started([5], { a: 1, b: 1 })
      rig.step(suspect('a'))
      assert.deepEqual(rig.orders(), ['a:0/1', 'b:0/2'])
      rig.step(ok(winner, 0, attempt))
      assert.deepEqual(cancels(rig), [loser])
      rig.settle()
      assert.equal(rig.of('finish').length, 1)
    }
  })

  it('a second result is discarded and counted as work done twice', () => {
    const rig = Rig.started([5, 5], { a: 1, b: 1 })
    rig.step(suspect('a'), ok('b', 1))
    rig.step(ok('b', 0, 2))
    rig.effects = []
    rig.step(ok('a', 0, 1))
    assert.deepEqual(rig.of('discard').flatMap(({ results }) => results.map(plain)), [{ block: 0, attempt: 1 }])
    const { duplicates, duplicateBytes, hedged } = rig.machine.counts()
    assert.deepEqual([duplicates, duplicateBytes, hedged], [1, 5, 1])
  })

  it('are not put back while the other attempt is out, whichever of the two fails or is lost, and are when both are gone', () => {
    const begun = (): Rig => {
      const rig = Rig.started([5], { a: 1, b: 1 })
      rig.step(suspect('a'))
      rig.orders()
      return rig
    }
    const copyFails = begun()
    copyFails.step(failed('b', 0, 2, 'transfer'))
    assert.deepEqual(told(copyFails, 'requeued'), [])
    const firstLost = begun()
    firstLost.step(lost('a'))
    assert.deepEqual([told(firstLost, 'requeued'), firstLost.orders()], [[], []])
    firstLost.step(lost('b'), joined('a'))
    assert.deepEqual(firstLost.orders(), ['a:0/3'])
    const bothFail = begun()
    bothFail.step(failed('a', 0, 1, 'transfer'))
    assert.deepEqual(bothFail.orders(), [])
    bothFail.step(failed('b', 0, 2, 'transfer'), { type: 'trusted', worker: 'a' })
    assert.equal(bothFail.orders().length, 1)
  })

  it('never go to the same worker, nor to another that is suspect', () => {
    const rig = Rig.started([5, 5], { a: 2, b: 2 }, BELIEVED)
    rig.step(suspect('a'), suspect('b'))
    assert.deepEqual(rig.orders(), ['a:0/1', 'b:1/1'])
    rig.step(joined('c'))
    assert.deepEqual(rig.orders(), ['c:0/2'])
  })

  it('nor to who asks too much', () => {
    const rig = new Rig({ maxPrice: '5', priceUnit: 'credit' })
    rig.step()
    rig.step(joined('a'), { type: 'joined', worker: 'dear', kind: 'remote', slots: 1, asked: { price: '6', unit: 'credit' } }, { type: 'settled', count: 2 })
    rig.step({ type: 'split', sizes: [5] }, { type: 'split-ended' })
    rig.step(suspect('a'))
    assert.deepEqual(rig.orders(), ['a:0/1'])
  })

  it('always cover what one suspect worker holds, but not what it takes on each time it is doubted again', () => {
    const slots = 3 * HEDGES_MIN
    const rig = Rig.started(new Array<number>(100).fill(5), { a: slots, b: 100 }, BELIEVED)
    rig.step(suspect('a'))
    const first = rig.machine.counts().hedged
    assert.equal(first, slots, 'all it holds')
    // It was a false alarm; it goes on, and is doubted again.
    for (let turn = 0; turn < 5; turn++) {
      rig.step({ type: 'trusted', worker: 'a' })
      rig.step(suspect('a'))
    }
    assert.equal(rig.machine.counts().hedged, slots)
  })

  it('that were needed, since the worker was lost, are no waste: the next may be covered, too', () => {
    const rig = Rig.started(new Array<number>(100).fill(5), { a: 10, b: 10, c: 100 }, BELIEVED)
    rig.step(suspect('a'))
    rig.step(lost('a'))
    rig.step(suspect('b'))
    assert.equal(rig.machine.counts().hedged, 20)
  })

  it('are not made where the request says so', () => {
    const rig = Rig.started([5], { a: 1, b: 1 }, { hedgeShare: 0 })
    rig.step(suspect('a'))
    assert.deepEqual(rig.orders(), ['a:0/1'])
  })
})

describe('coordinator/machine: a suspect worker', () => {
  it('gets no new block while somebody else could take it, though that one is busy', () => {
    const rig = Rig.started([5, 5, 5], { a: 2, b: 1 }, BELIEVED)
    rig.orders()
    rig.step(suspect('a'), ok('a', 0))
    rig.step({ type: 'split', sizes: [] })
    assert.deepEqual(rig.orders(), [])
    rig.step({ type: 'trusted', worker: 'a' }, { type: 'slots', worker: 'a', slots: 3 })
    assert.equal(rig.machine.counts().hedged, 0)
  })

  it('gets blocks if there is nobody else', () => {
    const rig = Rig.started([5, 5], { a: 1 })
    rig.orders()
    rig.step(suspect('a'), ok('a', 0))
    assert.deepEqual(rig.orders(), ['a:1/1'])
  })

  it('is not waited for near the end, however fast it was', () => {
    const rig = Rig.started([100, 100, 100, 100], { fast: 1, slow: 1 })
    rig.now = 10
    rig.step(ok('fast', 0))
    rig.now = 1000
    rig.step(ok('slow', 1))
    assert.deepEqual(rig.orders(), ['fast:0/1', 'slow:1/1', 'fast:2/1', 'slow:3/1'])
    const tail = (doubted: boolean): string[] => {
      const rig = Rig.started([100, 100, 100, 100], { fast: 1, slow: 1 }, { hedgeShare: 0 })
      rig.now = 1000
      rig.step(ok('slow', 1))
      rig.now = 1001
      rig.step(ok('fast', 0))
      rig.orders()
      if (doubted) rig.step(suspect('fast'))
      rig.step(failed('slow', 2, 1, 'draining'), { type: 'slots', worker: 'slow', slots: 1 })
      return rig.orders()
    }
    assert.deepEqual(tail(true), ['slow:2/2'])
  })
})

describe('coordinator/machine: copies of slow blocks', () => {
  /** Two workers of one slot; a hangs on its block while b does the others, 100 ms each. */
  const hung = (blocks: number, init = {}): Rig => {
    const rig = Rig.started(new Array<number>(blocks).fill(1000), { a: 1, b: 1 }, init)
    for (let block = 1; block < blocks; block++) {
      rig.now += 100
      rig.step({ type: 'ok', worker: 'b', block, attempt: 1, held: 'inline', size: 10, wallMs: 100 })
      rig.settle()
    }
    return rig
  }
  const tickUntilCopy = (rig: Rig, limit = 100): void => {
    for (let i = 0; i < limit && rig.machine.counts().hedged === 0; i++) {
      const at = last(rig.of('timer')).at
      assert.ok(at != null && at > rig.now, `nothing is waited for at ${rig.now}`)
      rig.now = at
      rig.step({ type: 'tick' })
    }
  }

  it('are not made while a block waits for the capacity', () => {
    const rig = hung(20)
    // It had been late for long: the copy was made as soon as there was nothing else to do.
    assert.deepEqual(rig.orders().slice(-2), ['b:19/1', 'b:0/2'])
    assert.equal(rig.machine.counts().hedged, 1)
    assert.match(last(told(rig, 'hedged')), /out for \d+ ms, longer than its siblings/)
  })

  it('wait until the block is later than its siblings were', () => {
    const rig = hung(3)
    // Two results of 100 ms: little is proved by so few.
    const lateAt = LATE_FACTOR * (1 + LATE_CAUTION / 2) * 100
    assert.equal(rig.now, 200)
    assert.equal(rig.machine.counts().hedged, 0)
    tickUntilCopy(rig)
    assert.ok(rig.now >= lateAt && rig.now <= lateAt + 50, `${rig.now}, due at ${lateAt}`)
  })

  it('need a measure: where nothing came back nothing is called slow', () => {
    const rig = Rig.started([1000], { a: 1, b: 1 })
    rig.now = 600_000
    rig.step({ type: 'tick' })
    assert.equal(rig.machine.counts().hedged, 0)
  })

  it('are bounded', () => {
    const rig = Rig.started(new Array<number>(30).fill(1000), { a: 20, b: 10 }, BELIEVED)
    rig.orders()
    rig.now = 100
    for (let block = 0; block < 30; block++) if (rig.machine.ownerOf(block, 1) === 'b') rig.step({ type: 'ok', worker: 'b', block, attempt: 1, held: 'inline', size: 10, wallMs: 100 })
    rig.settle()
    for (let i = 0; i < 50; i++) {
      rig.now += 1000
      rig.step({ type: 'tick' })
      for (const order of rig.orders()) rig.step(ok('b', Number(/:(\d+)/.exec(order)?.[1]), 2))
      rig.settle()
    }
    assert.deepEqual([rig.machine.counts().done, rig.machine.counts().hedged], [10 + HEDGES_MIN, HEDGES_MIN])
  })

  it('go to a worker on trial if nobody healthy is idle', () => {
    const rig = Rig.started([1000, 1000, 1000], { a: 2, b: 1 }, { ...BELIEVED, limits: { breakerFailures: 1, breakerMs: 100 } })
    assert.deepEqual(rig.orders().toSorted(), ['a:0/1', 'a:2/1', 'b:1/1'])
    rig.now = 100
    rig.step({ type: 'ok', worker: 'b', block: 1, attempt: 1, held: 'inline', size: 10, wallMs: 100 })
    rig.settle()
    tickUntilCopy(rig)
    const [first, ...more] = rig.orders()
    assert.deepEqual([first?.slice(0, 2), more], ['b:', []])
    rig.step(failed('b', Number(first?.slice(2, 3)), 2, 'transfer'))
    assert.deepEqual(rig.orders(), [], 'it is cut off')
    const breaker = last(rig.of('breaker'))
    while (rig.now < breaker.retryAt) {
      rig.now = last(rig.of('timer')).at ?? NaN
      rig.step({ type: 'tick' })
    }
    const [trial] = rig.orders()
    assert.match(trial ?? '', /^b:[02]\/2$/)
    assert.notEqual(trial, first)
    assert.equal(last(rig.of('breaker')).state, 'half-open')
  })
})

describe('coordinator/pace', () => {
  const pace = (values: number[], kind: 'local' | 'remote' = 'remote'): Pace => {
    const made = new Pace()
    for (const ms of values) made.add(kind, { bytes: 1000, queuedBytes: 1000, tripMs: ms, engineMs: ms })
    return made
  }

  it('takes waiting behind other blocks for what it is', () => {
    const made = new Pace()
    for (let i = 0; i < 50; i++) made.add('remote', { bytes: 1000, queuedBytes: 10_000, tripMs: 2000, engineMs: 200 })
    assert.ok(Math.abs(made.typicalMs('remote', 1000) - 200) < 1e-9)
  })

  it('takes a slow link for a slow block', () => {
    const made = new Pace()
    for (let i = 0; i < 50; i++) made.add('remote', { bytes: 1000, queuedBytes: 1000, tripMs: 900, engineMs: 200 })
    assert.ok(Math.abs(made.typicalMs('remote', 1000) - 900) < 1e-9)
  })

  it('is not moved by a few that are far off', () => {
    const made = pace([...new Array<number>(96).fill(100), 1e6, 1e6, 1e6])
    assert.ok(made.lateMs('remote', 1000, 0) < 200)
  })

  it('follows the size, the worker, and its own caution', () => {
    const made = pace(new Array<number>(1000).fill(100))
    assert.ok(made.lateMs('remote', 10_000, 0) > 9 * made.lateMs('remote', 1000, 0))
    assert.ok(made.lateMs('remote', 1000, 5000) >= LATE_FACTOR * 5000)
    assert.ok(pace([1]).lateMs('remote', 1000, 0) >= LATE_MS_MIN)
    assert.ok(pace([100]).lateMs('remote', 1000, 0) > made.lateMs('remote', 1000, 0))
  })

  it('of the other kind is better than none', () => {
    assert.ok(Math.abs(pace([100], 'local').typicalMs('remote', 1000) - 100) < 1e-9)
    assert.equal(new Pace().known, false)
  })
})

describe('coordinator/machine: an earlier run', () => {
  it('nothing is given out before as many changes of the schema were told as it had seen', () => {
    const rig = new Rig({ resumeEpoch: 1 })
    rig.step()
    rig.step(joined('a', FIRST_BLOCKS), { type: 'settled', count: 1 }, { type: 'split', sizes: [5, 5] })
    assert.deepEqual(rig.orders(), [])
    assert.equal(rig.machine.explain(0).job[0]?.reason, 'earlier-run')
    rig.step({ type: 'widened', epoch: 1 }, { type: 'split', sizes: [5] })
    assert.deepEqual(rig.orders(), ['a:0/1', 'a:1/1'])
    const shorter = new Rig({ resumeEpoch: 1 })
    shorter.step()
    shorter.step(joined('a'), { type: 'settled', count: 1 }, { type: 'split', sizes: [5] }, { type: 'split-ended' })
    assert.deepEqual(shorter.orders(), ['a:0/1'], 'the input ended before: it cannot be waited for')
  })
})
