import assert from 'node:assert/strict'
import type { JobEvent } from '../../../daemon/coordinator/index.ts'
import { Blocks } from '../../../scripts/demo/blocks.ts'

type Change = Extract<JobEvent, { type: 'block' }>['change']

describe('demo: who held which block', () => {
  const blocks = (...events: Array<[number, string, Change]>): Blocks => {
    const seen = new Blocks()
    for (const [block, peer, change] of events) seen.apply({ type: 'block', job: 'j', at: 0, block, attempt: 1, peer, change })
    return seen
  }

  it('a block is owed from its dispatch to its accepted result', () => {
    const seen = blocks([0, 'a', 'dispatched'], [1, 'a', 'dispatched'], [2, 'b', 'dispatched'], [1, 'a', 'done'])
    assert.deepEqual([seen.heldBy('a'), seen.doneBy('a'), seen.heldBy('b'), seen.done], [[0], [1], [2], 1])
  })

  it('what a lost peer took along counts as lost, whoever does it then; what had arrived does not', () => {
    const seen = blocks([0, 'a', 'dispatched'], [1, 'a', 'dispatched'], [0, 'a', 'done'], [1, 'a', 'requeued'], [1, 'b', 'dispatched'], [1, 'b', 'done'])
    assert.deepEqual([seen.lostBy('a'), seen.heldBy('a'), seen.doer(1), seen.doer(0)], [[1], [], 'b', 'a'])
  })

  it('a rejected result is not done', () => {
    const seen = blocks([0, 'a', 'dispatched'], [0, 'a', 'rejected'])
    assert.deepEqual([seen.done, seen.heldBy('a'), seen.lostBy('a'), seen.doer(0)], [0, [], [], undefined])
  })

  it('the total is known once the splitter said it', () => {
    const seen = new Blocks()
    const progress: JobEvent = { type: 'progress', job: 'j', at: 0, blocksDone: 0, bytesDone: 0, bytesTotal: 1, workers: 1 }
    seen.apply(progress)
    assert.equal(seen.total, undefined)
    seen.apply({ ...progress, blocksTotal: 12 })
    assert.equal(seen.total, 12)
  })
})
