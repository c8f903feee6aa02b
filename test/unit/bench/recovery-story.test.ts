import assert from 'node:assert/strict'
import type { JobEvent } from '../../../daemon/coordinator/index.ts'
import { heldAt, storyOf } from '../../../bench/recovery-story.ts'
import { greedy } from '../../../bench/scheduling.ts'

type Change = Extract<JobEvent, { type: 'block' }>['change']
type Worker = Extract<JobEvent, { type: 'worker' }>['change']
const block = (at: number, block: number, attempt: number, peer: string, change: Change): Extract<JobEvent, { type: 'block' }> => ({ type: 'block', job: 'j', at, block, attempt, peer, change })
const worker = (at: number, peer: string, change: Worker): JobEvent => ({ type: 'worker', job: 'j', at, peer, change })

describe('what events tell of a fault', () => {
  const fault = { at: 1000, peer: 'a' }
  const before = [block(0, 0, 1, 'a', 'dispatched'), block(0, 1, 1, 'b', 'dispatched'), block(0, 2, 1, 'a', 'dispatched'), block(500, 2, 1, 'a', 'done'), block(600, 3, 1, 'a', 'dispatched')]

  it('knows what the worker had', () => {
    assert.deepEqual(heldAt(before, fault), [0, 3])
    assert.deepEqual(heldAt(before, { ...fault, at: 550 }), [0])
  })

  it('takes the first order elsewhere, and reckons the start of work back from the result', () => {
    const story = storyOf([
      ...before, worker(1040, 'a', 'suspect'), block(1050, 0, 2, 'b', 'hedged'), worker(1100, 'a', 'lost'), block(1100, 3, 1, 'a', 'requeued'), block(1120, 3, 2, 'c', 'dispatched'),
      block(1650, 0, 2, 'b', 'done'), block(1625, 3, 2, 'c', 'done')
    ], fault, 500)
    assert.deepEqual(story, { suspectMs: 40, lostMs: 100, held: 2, orderedMs: [50, 120], runningMs: [150, 125], blocks: 4, redone: 2, falseDeaths: 0, falseDoubts: 0 })
  })

  it('counts no block whose result was on its way, and one order said twice once', () => {
    const story = storyOf([...before, block(1001, 0, 1, 'a', 'done'), block(1100, 3, 2, 'b', 'hedged'), block(1100, 3, 2, 'b', 'dispatched')], fault, 500)
    assert.deepEqual([story.held, story.orderedMs, story.redone], [1, [100], 1])
  })

  it('counts what the worker was given before anybody noticed, from its order on', () => {
    const story = storyOf([...before, block(1000, 0, 1, 'a', 'done'), block(1001, 3, 1, 'a', 'done'), block(1010, 4, 1, 'a', 'dispatched'), block(1060, 4, 2, 'b', 'dispatched'), block(1600, 4, 2, 'b', 'done')], fault, 500)
    assert.deepEqual([story.held, story.orderedMs, story.runningMs, story.redone], [1, [50], [90], 1])
  })

  it('counts nothing that was taken back before it was begun', () => {
    const story = storyOf([...before, { ...block(1100, 3, 1, 'a', 'requeued'), reason: 'a has not begun it and needs 900 ms, b 500 ms' }, block(1100, 3, 2, 'b', 'dispatched')], fault, 500)
    assert.deepEqual([story.blocks, story.redone], [4, 0])
  })

  it('tells of others that were given up or doubted, and of nothing that came before the fault', () => {
    const story = storyOf([worker(900, 'a', 'suspect'), worker(950, 'a', 'trusted'), ...before, worker(1200, 'b', 'suspect'), worker(1300, 'b', 'lost')], fault, 500)
    assert.deepEqual([story.suspectMs, story.lostMs, story.falseDeaths, story.falseDoubts], [undefined, undefined, 1, 1])
  })
})

describe('greedy list scheduling', () => {
  it('gives each block to whoever is free first', () => {
    assert.equal(greedy([3, 1, 1, 1], 2), 3)
    assert.equal(greedy([1, 1, 1, 3], 2), 4)
    assert.equal(greedy([5], 3), 5)
  })
})
