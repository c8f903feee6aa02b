import assert from 'node:assert/strict'
import { FIRST_BLOCKS, HEDGE_SHARE, HEDGES_MIN } from '../../../daemon/coordinator/constants.ts'
import { drawnDurations, runVirtually, type VirtualEnd, type VirtualJob, type VirtualWorker } from './virtual-pool.ts'

const pool = (count: number, more: Partial<VirtualWorker> = {}): VirtualWorker[] => Array.from({ length: count }, (_, i) => ({ id: `w${i}`, ...more }))
const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

function run (job: VirtualJob): VirtualEnd {
  const end = runVirtually(job)
  assert.equal(end.state, 'done', end.error)
  return end
}

describe('coordinator/scheduling, on a virtual clock', () => {
  for (const cores of [1, 4]) {
    for (const spread of [0, 1]) {
      it(`one of five workers ten times slower costs little (${cores} cores, blocks ± ${100 * spread} %)`, () => {
        for (const blocks of [50, 100, 400]) {
          const durations = drawnDurations(blocks, 200, spread)
          const four = pool(4, { cores })
          const alone = run({ durations, workers: four })
          const five = run({ durations, workers: [{ id: 'slow', cores, slowness: 10 }, ...four] })
          assert.ok(five.makespanMs <= 1.3 * alone.makespanMs, `${blocks} blocks: ${five.makespanMs} against ${alone.makespanMs}`)
          assert.ok(five.counts.hedged <= Math.max(HEDGES_MIN, HEDGE_SHARE * blocks), `${five.counts.hedged} copies`)
        }
      })
    }
  }

  it('without copies the slow one would cost far more: the test above tests something', () => {
    const durations = drawnDurations(100, 200, 1)
    const four = pool(4, { cores: 4 })
    const five = [{ id: 'slow', cores: 4, slowness: 10 }, ...four]
    assert.ok(run({ durations, workers: five, init: { hedgeShare: 0 } }).makespanMs > 2 * run({ durations, workers: five }).makespanMs)
  })

  it('keeps 50 workers busy: at least 0.95 of the ideal for 2,000 blocks of 200 ms ± 100 %, with a link of 1 ms', () => {
    for (const slots of [2, 26]) {
      const durations = drawnDurations(2000, 200, 1)
      const { makespanMs, workedMs } = run({ durations, delayMs: 1, workers: pool(50, { slots }) })
      assert.ok(sum(durations) / 50 >= 0.95 * makespanMs, `${sum(durations) / 50 / makespanMs} with ${slots} slots`)
      assert.ok(workedMs <= 1.02 * sum(durations), 'hardly anything is done twice where nothing is wrong')
    }
  })

  it('keeps 200 workers busy: at least 0.9 of the ideal, with a link of 1 ms', () => {
    // With 2,000 blocks the last of them alone take more than a tenth: nobody who does not know their durations does better than 0.89.
    const durations = drawnDurations(4000, 200, 1)
    const { makespanMs } = run({ durations, delayMs: 1, workers: pool(200) })
    assert.ok(sum(durations) / 200 >= 0.9 * makespanMs, String(sum(durations) / 200 / makespanMs))
  })

  it('a joiner gets work at once, and takes what others have not begun', () => {
    const at: number[] = []
    const end = run({
      durations: new Array<number>(8).fill(1000),
      workers: [{ id: 'a', slots: 8 }, { id: 'late', slots: 8, joinsAt: 1500 }],
      init: { faults: new Set(['declared-slots']) },
      watch: (effect, now) => { if (effect.type === 'dispatch' && effect.worker === 'late') at.push(now) }
    })
    assert.deepEqual([at[0], end.counts.stolen > 0, end.counts.hedged], [1500, true, 0])
    assert.ok(end.makespanMs <= 5500, String(end.makespanMs))
    assert.equal(end.workedMs, 8000, 'nothing is done twice')
  })

  it('what a worker holds that falls silent is at work elsewhere when it is suspect, not when it is dead', () => {
    const copied: number[] = []
    const end = run({
      durations: new Array<number>(60).fill(200),
      workers: [...pool(3), { id: 'silent', silentAt: 1000, suspectAfterMs: 1000, deadAfterMs: 60_000 }],
      watch: (effect, now) => { if (effect.type === 'news' && effect.news.type === 'block' && effect.news.change === 'hedged') copied.push(now) }
    })
    assert.ok(copied.length > 0 && copied.length <= FIRST_BLOCKS)
    // As soon as somebody has room.
    assert.ok(copied.every(at => at >= 2000 && at <= 2200), String(copied))
    assert.ok(end.makespanMs < 5000)
  })

  it('a block that hangs on one worker is done by another long before its time limit', () => {
    const end = run({ durations: new Array<number>(30).fill(200), workers: [{ id: 'w', cores: 2, hangs: block => block === 5 }, ...pool(2)] })
    assert.ok(end.makespanMs < 4000, String(end.makespanMs))
  })

  it('a peer that fails everything costs no job, and is tried now and then with one block', () => {
    const tries: number[] = []
    const end = run({
      durations: new Array<number>(400).fill(200),
      workers: [{ id: 'bad', cores: 4, slowness: 0.05, fails: () => 'crash' }, ...pool(4)],
      watch: (effect, now) => { if (effect.type === 'dispatch' && effect.worker === 'bad') tries.push(...effect.orders.map(() => now)) }
    })
    assert.ok(end.counts.workers.find(({ id }) => id === 'bad')!.failed <= 12, `${tries.length} tries`)
    assert.ok(tries.length > 3 && tries.at(-1)! > 5000, 'it is tried again')
  })

  it('a peer that is cured gets its share again', () => {
    const end = run({
      durations: new Array<number>(400).fill(200),
      workers: [{ id: 'ill', fails: (_, now) => now < 3000 ? 'crash' : undefined }, ...pool(3)]
    })
    assert.ok(end.by.ill! > 60, JSON.stringify(end.by))
  })

  it('a block that fails everywhere ends the job, however many workers there are', () => {
    const end = runVirtually({ durations: new Array<number>(200).fill(50), workers: pool(20).map(worker => ({ ...worker, fails: block => block === 77 ? 'crash' : undefined })) })
    assert.equal(end.state, 'failed')
    assert.match(end.error ?? '', /^block 77 failed 3 times \(on w\d+, w\d+, w\d+\), the last on w\d+: crash: it was a crash$/)
  })
})
