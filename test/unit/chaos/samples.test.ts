import assert from 'node:assert/strict'
import { growthOf, SAMPLES_MIN, slopeOf, sparkline, type Sample } from '../../../scripts/chaos/samples.ts'
import { summary, type Outcome } from '../../../scripts/chaos/summary.ts'

const SECONDS = 1800

/** A process seen every ten seconds. */
const life = (rssMb: (at: number) => number, descriptors: (at: number) => number = () => 40, from = 0, to = SECONDS): Sample[] =>
  Array.from({ length: Math.floor((to - from) / 10) }, (_, i) => from + 10 * i).map(at => ({ at, node: 'n1', pid: 7, rssMb: rssMb(at), descriptors: descriptors(at) }))

const noise = (at: number): number => 10 * Math.sin(at)

describe('growth of memory and descriptors', () => {
  it('is the slope of a line through the points', () => {
    assert.equal(slopeOf([[0, 1], [1, 3], [2, 5]]), 2)
    assert.equal(slopeOf([[0, 4], [1, 4], [5, 4]]), 0)
    assert.equal(slopeOf([[3, 1], [3, 9]]), 0)
  })

  it('is none where it only goes up and down, or grew in the first half', () => {
    const judged = growthOf(life(at => 200 + noise(at) + Math.min(at, 800) / 8), SECONDS)
    assert.deepEqual(judged.map(({ what, flat }) => ({ what, flat })), [{ what: 'memory', flat: true }, { what: 'descriptors', flat: true }])
  })

  it('is found in memory and in descriptors', () => {
    const [memory, descriptors] = growthOf(life(at => 200 + noise(at) + at / 10, at => 40 + at / 60), SECONDS)
    assert.deepEqual([memory?.flat, descriptors?.flat], [false, false])
    assert.ok(Math.abs((memory?.grown ?? 0) - 90) < 5, String(memory?.grown))
  })

  it('is not judged for a process that did not live long enough', () => {
    assert.deepEqual(growthOf(life(at => at, () => 1, SECONDS - 10 * SAMPLES_MIN), SECONDS), [])
  })

  it('is drawn over time, with nothing where there was no process', () => {
    const line = sparkline([[0, 0], [599, 10], [1799, 5]], SECONDS)
    assert.equal(line.length, 48)
    assert.deepEqual([line[0], line[15], line[30], line.at(-1)], ['▁', '█', ' ', '▅'])
  })
})

describe('the summary of a run of chaos', () => {
  const outcome = (more: Partial<Outcome> = {}): Outcome => ({
    seed: 1, nodes: 2, steady: ['n1'], plan: [], seconds: SECONDS, samples: life(() => 200), wrong: [], logged: [],
    jobs: { seconds: new Map([['a job', [1, 2, 3]]]), otherBytes: 0, resumed: 0, blocks: 9, redispatched: 0, hedged: 0, rejected: 0, wrong: [] },
    disturbed: { counts: { kill: 0, leave: 0, freeze: 0, partition: 0, latency: 0 }, problems: [], away: new Set() },
    ...more
  })

  it('is good if nothing was wrong', () => {
    const { text, good } = summary(outcome(), 'samples.csv')
    assert.equal(good, true, text)
    assert.match(text, /3 ended right/)
  })

  const bad: Array<[what: string, more: Partial<Outcome>, says: RegExp]> = [
    ['a job that did not end right', { jobs: { ...outcome().jobs, wrong: ['n0, a job: its output is wrong'] } }, /its output is wrong/],
    ['no job at all', { jobs: { ...outcome().jobs, seconds: new Map() } }, /no job ended right/],
    ['something left over', { wrong: ['process 9 is left'] }, /process 9 is left/],
    ['a fault that could not be undone', { disturbed: { ...outcome().disturbed, problems: ['kill n1: no'] } }, /kill n1: no/],
    ['memory that grows', { samples: life(at => 200 + at / 5) }, /memory grew by/]
  ]
  for (const [what, more, says] of bad) {
    it(`is not with ${what}`, () => {
      const { text, good } = summary(outcome(more), 'samples.csv')
      assert.equal(good, false)
      assert.match(text, says)
    })
  }
})
