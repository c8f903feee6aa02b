import assert from 'node:assert/strict'
import type { AttemptRef, Effect, JobEventIn, JobMachineInit } from '../../../daemon/coordinator/machine-types.ts'
import { BELIEVED, failed, joined, ok, plain, Rig } from './rig.ts'

type OfType<T extends Effect['type']> = Extract<Effect, { type: T }>

const of = <T extends Effect['type']>(effects: Effect[], type: T): Array<OfType<T>> => effects.filter(effect => effect.type === type) as Array<OfType<T>>

/** `block/attempt` of all orders of a kind. */
function refs (effects: Effect[], type: 'discard' | 'store' | 'inspect' | 'check' | 'journal' | 'merge'): string[] {
  return of(effects, type).flatMap(({ results }) => results.map(({ block, attempt }) => `${block}/${attempt}`))
}

const cancelled = (effects: Effect[]): string[] => of(effects, 'cancel').flatMap(({ worker, attempts }) => attempts.map(({ block, attempt }) => `${worker}:${block}/${attempt}`))
const widened = (epoch: number): JobEventIn => ({ type: 'widened', epoch })
const split = (blocks: number): JobEventIn => ({ type: 'split', sizes: new Array<number>(blocks).fill(5) })
const ended: JobEventIn = { type: 'split-ended' }

/** A machine whose splitter is not at the end yet. */
function begun (workers: Record<string, number>, blocks: number, init: Partial<JobMachineInit> = {}): Rig {
  const rig = new Rig(init)
  rig.step()
  rig.step(...Object.entries(workers).map(([id, slots]) => joined(id, slots)), { type: 'settled', count: 1 })
  rig.step(split(blocks))
  return rig
}

/** Does every order that is out, well, and what follows, until nothing is out. */
function work (rig: Rig): void {
  for (let orders = rig.orders(); orders.length > 0; orders = rig.orders()) {
    rig.step(...orders.map(parsed).map(({ worker, block, attempt }) => ok(worker, block, attempt)))
    rig.settle()
  }
}

function parsed (order: string): { worker: string, block: number, attempt: number } {
  const [worker, block, attempt] = order.split(/[:/]/) as [string, string, string]
  return { worker, block: Number(block), attempt: Number(attempt) }
}

function end (rig: Rig): void {
  assert.equal(rig.of('finish').length, 1)
  rig.step({ type: 'finished' }, { type: 'renamed' })
  assert.equal(rig.machine.state, 'done')
}

describe('coordinator/epochs', () => {
  it('a contradiction in the last block: everything before it is done again, and only that', () => {
    const rig = begun({ a: 2 }, 9)
    work(rig)
    assert.equal(rig.machine.counts().merged, 9)
    rig.step(widened(1), split(1))
    assert.deepEqual(rig.of('reset-merge').map(({ epoch }) => epoch), [1])
    rig.step(ended)
    rig.settle()
    work(rig)
    const { blocks, done, merged, redone, epochs, redispatched, units } = rig.machine.counts()
    assert.deepEqual({ blocks, done, merged, redone, epochs, redispatched, units }, { blocks: 10, done: 10, merged: 10, redone: 9, epochs: 1, redispatched: 0, units: 10 })
    assert.deepEqual(rig.machine.counts().workers.map(worker => worker.blocks), [10])
    end(rig)
  })

  it('one in a middle block: what was never given out is not done again, and what is done again comes first, in order', () => {
    const rig = begun({ a: 3 }, 8, BELIEVED)
    assert.deepEqual(rig.orders(), ['a:0/1', 'a:1/1', 'a:2/1'])
    rig.step(ok('a', 1))
    rig.settle()
    assert.deepEqual(rig.orders(), ['a:3/1'])
    const effects = rig.step(widened(1), split(2))
    assert.deepEqual(cancelled(effects), ['a:0/1', 'a:2/1', 'a:3/1'])
    assert.deepEqual(refs(effects, 'discard'), ['1/1'])
    assert.equal(rig.machine.counts().redone, 4)
    assert.deepEqual(rig.orders(), [], 'the slots are taken until the cancelled attempts have ended')
    rig.step(failed('a', 0, 1, 'cancelled'), failed('a', 2, 1, 'cancelled'), failed('a', 3, 1, 'cancelled'), ended)
    assert.deepEqual(rig.orders(), ['a:0/2', 'a:1/2', 'a:2/2'])
    rig.settle()
    rig.step(ok('a', 0, 2), ok('a', 1, 2), ok('a', 2, 2))
    rig.settle()
    assert.deepEqual(rig.orders(), ['a:3/2', 'a:4/1', 'a:5/1'])
    rig.step(ok('a', 3, 2), ok('a', 4, 1), ok('a', 5, 1))
    rig.settle()
    work(rig)
    assert.deepEqual([rig.machine.counts().done, rig.machine.counts().redone, rig.machine.counts().redispatched], [10, 4, 0])
    end(rig)
  })

  it('several at once throw the work away once', () => {
    const rig = begun({ a: 4 }, 6)
    rig.step(ok('a', 0))
    rig.orders()
    rig.step(widened(1), split(0), widened(2), split(1), ended)
    assert.deepEqual([rig.machine.counts().redone, rig.machine.counts().epochs], [5, 2])
    rig.step(...[1, 2, 3, 4].map(block => failed('a', block, 1, 'cancelled')))
    rig.settle()
    work(rig)
    assert.deepEqual([rig.machine.counts().done, rig.machine.counts().merged], [7, 7])
    end(rig)
  })

  it('one after another counts what each threw away', () => {
    const rig = begun({ a: 2 }, 4)
    work(rig)
    rig.step(widened(1), split(1))
    rig.settle()
    const again = rig.orders()
    assert.deepEqual(again, ['a:0/2', 'a:1/2'])
    rig.step(ok('a', 0, 2))
    assert.deepEqual(rig.orders(), ['a:2/2'])
    // Blocks 0, 1 and 2 were given out under the first change; 3 and 4 were not, so nothing of theirs is lost by the second.
    rig.step(widened(2), split(1), ended)
    assert.equal(rig.machine.counts().redone, 4 + 3)
    rig.step(failed('a', 1, 2, 'cancelled'), failed('a', 2, 2, 'cancelled'))
    rig.settle()
    work(rig)
    assert.equal(rig.machine.counts().done, 6)
    end(rig)
  })

  it('during a merge: the run that is under way is void, however it answers', () => {
    const rig = begun({ a: 2 }, 2)
    rig.step(ok('a', 0), ok('a', 1))
    rig.orders()
    rig.step({ type: 'inspected', block: 0, attempt: 1, units: 1 }, { type: 'inspected', block: 1, attempt: 1, units: 1 })
    const merging = rig.step({ type: 'committed', block: 0, attempt: 1 }, { type: 'committed', block: 1, attempt: 1 })
    assert.deepEqual(refs(merging, 'merge'), ['0/1', '1/1'])
    rig.effects = []
    rig.step(widened(1), split(1), ended)
    rig.step({ type: 'merged', epoch: 0, upTo: 2 })
    assert.equal(rig.machine.counts().merged, 0)
    const resets = rig.of('reset-merge')
    assert.deepEqual(resets.map(({ epoch }) => epoch), [1])
    assert.deepEqual(rig.orders(), ['a:0/2', 'a:1/2'])
    const before = rig.step(ok('a', 0, 2), { type: 'inspected', block: 0, attempt: 2, units: 1 }, { type: 'committed', block: 0, attempt: 2 })
    assert.deepEqual(refs(before, 'merge'), [], 'not before the output was begun again')
    assert.deepEqual(refs(rig.step({ type: 'merge-reset', epoch: 1 }), 'merge'), ['0/2'])
    rig.step({ type: 'merged', epoch: 1, upTo: 1 }, ok('a', 1, 2))
    rig.effects = rig.effects.filter(({ type }) => type === 'dispatch')
    rig.step({ type: 'inspected', block: 1, attempt: 2, units: 1 })
    rig.effects = rig.effects.filter(({ type }) => type === 'dispatch' || type === 'journal')
    rig.settle()
    work(rig)
    end(rig)
  })

  it('a second change during the reset of the first orders another: the first may have begun under the older schema', () => {
    const rig = begun({ a: 1 }, 1)
    work(rig)
    rig.step(widened(1), split(0))
    rig.step(widened(2), split(0), ended)
    assert.deepEqual(rig.of('reset-merge').map(({ epoch }) => epoch), [1, 2])
    rig.step(failed('a', 0, 2, 'cancelled'))
    const first = rig.step({ type: 'merge-reset', epoch: 1 }, ok('a', 0, 3), { type: 'inspected', block: 0, attempt: 3, units: 1 }, { type: 'committed', block: 0, attempt: 3 })
    assert.deepEqual(refs(first, 'merge'), [])
    assert.deepEqual(refs(rig.step({ type: 'merge-reset', epoch: 2 }), 'merge'), ['0/3'])
  })

  it('the output is begun again also where nothing was merged yet, and with no block at all', () => {
    const rig = begun({ a: 1 }, 0)
    assert.equal(of(rig.step(widened(1), split(0), ended), 'reset-merge').length, 1)
    assert.deepEqual([rig.machine.counts().redone, rig.of('finish').length], [0, 1])
  })

  it('an output all of which is done again before it was begun again is not ended empty', () => {
    const rig = begun({ a: 2 }, 2)
    work(rig)
    assert.equal(rig.machine.counts().merged, 2)
    rig.step(widened(1), split(0), ended)
    const resets = rig.of('reset-merge')
    rig.effects = rig.effects.filter(({ type }) => type !== 'reset-merge')
    work(rig)
    assert.deepEqual([rig.machine.counts().done, rig.of('finish').length], [2, 0])
    rig.effects.push(...resets)
    rig.settle()
    end(rig)
  })

  describe('what comes late of the older schema', () => {
    /** Two blocks of each kind: stored, inspected, compared, journalled; then the schema is widened. */
    const inAllStates = (): Rig => {
      const rig = begun({ a: 5 }, 5, { ...BELIEVED, verify: 'all' })
      rig.orders()
      rig.step(...[0, 1, 2, 3].map(block => ok('a', block, 1, 'volatile')))
      rig.step(...[1, 2, 3].map(block => ({ type: 'stored' as const, block, attempt: 1 })))
      rig.step(...[2, 3].map(block => ({ type: 'inspected' as const, block, attempt: 1, units: 1 })))
      rig.step({ type: 'checked', block: 3, attempt: 1, distance: 0 })
      rig.effects = []
      return rig
    }

    it('is let go whatever was being done with it, and its answers mean nothing', () => {
      const rig = inAllStates()
      const effects = rig.step(widened(1), split(0), ended)
      assert.deepEqual(refs(effects, 'discard'), ['0/1', '1/1', '2/1', '3/1'])
      assert.deepEqual(cancelled(effects), ['a:4/1'])
      assert.equal(rig.machine.counts().redone, 5)
      assert.equal(rig.machine.counts().checked, 0)
      const late = rig.step(
        { type: 'stored', block: 0, attempt: 1 }, { type: 'inspected', block: 1, attempt: 1, units: 9 }, { type: 'unsound', block: 1, attempt: 1, message: 'other types' },
        { type: 'checked', block: 2, attempt: 1, distance: 1 }, { type: 'committed', block: 3, attempt: 1 }
      )
      for (const type of ['inspect', 'check', 'journal', 'merge', 'ban', 'release'] as const) assert.deepEqual(of(late, type), [], type)
      assert.deepEqual([rig.machine.counts().done, rig.machine.counts().rejected], [0, 0])
      rig.step(failed('a', 4, 1, 'conversion', { code: 'contradiction' }))
      assert.equal(rig.machine.state, 'running', 'that the input contradicts the older schema is known')
      rig.settle()
      work(rig)
      assert.deepEqual([rig.machine.counts().done, rig.machine.counts().units, rig.machine.counts().checked], [5, 5, 5])
      end(rig)
    })

    it('is never taken: not before, not after, not twice, not while its block waits', () => {
      const rig = begun({ a: 1, b: 1 }, 2)
      assert.deepEqual(rig.orders(), ['a:0/1', 'b:1/1'])
      rig.step(widened(1), split(0), ended)
      const waiting = rig.step(ok('a', 0, 1), ok('a', 0, 1))
      assert.deepEqual([refs(waiting, 'inspect'), refs(waiting, 'discard')], [[], ['0/1', '0/1']])
      assert.deepEqual(rig.orders(), ['a:0/2'])
      const out = rig.step(ok('a', 0, 1), ok('b', 1, 1))
      assert.deepEqual([refs(out, 'inspect'), refs(out, 'discard'), cancelled(out)], [[], ['0/1', '1/1'], []])
      rig.step(ok('a', 0, 2))
      rig.settle()
      const done = rig.step(ok('a', 0, 1))
      assert.deepEqual([refs(done, 'discard'), refs(done, 'inspect')], [['0/1'], []])
      work(rig)
      assert.deepEqual(rig.machine.counts().workers.map(({ id, blocks }) => [id, blocks]), [['a', 1], ['b', 1]])
      end(rig)
    })

    it('is let go unseen if it came in the same moment', () => {
      const rig = begun({ a: 2 }, 2)
      const effects = rig.step(ok('a', 0, 1, 'volatile'), ok('a', 1, 1), widened(1), split(0))
      assert.deepEqual(refs(effects, 'discard'), ['0/1', '1/1'])
      assert.deepEqual([refs(effects, 'store'), refs(effects, 'inspect'), refs(effects, 'journal')], [[], [], []])
    })

    it('leaves a block alone that is out again when the older attempt fails or its worker goes', () => {
      const rig = begun({ a: 1, b: 2 }, 1)
      assert.deepEqual(rig.orders(), ['a:0/1'])
      rig.step(widened(1), split(0), ended)
      assert.deepEqual(rig.orders(), ['b:0/2'])
      rig.step(failed('a', 0, 1, 'crash'))
      assert.deepEqual(rig.orders(), [])
      rig.step({ type: 'lost', worker: 'a', reason: 'gone' })
      assert.deepEqual(rig.orders(), [])
      rig.step(ok('b', 0, 2))
      rig.settle()
      end(rig)
    })
  })

  describe('with a worker that lies', () => {
    it('comparisons of its results that are void are not waited for, nor believed', () => {
      const rig = begun({ liar: 3, b: 1 }, 4, BELIEVED)
      assert.deepEqual(rig.orders().toSorted(), ['b:1/1', 'liar:0/1', 'liar:2/1', 'liar:3/1'])
      rig.step(ok('liar', 0), ok('b', 1))
      rig.settle()
      rig.step(ok('liar', 2))
      const caught = rig.step({ type: 'unsound', block: 2, attempt: 1, message: 'garbage' })
      assert.deepEqual(refs(caught, 'check'), ['0/1'])
      assert.deepEqual(rig.orders(), ['b:2/2'])
      rig.effects = []
      assert.deepEqual(cancelled(rig.step(widened(1), split(0), ended)), ['b:2/2'])
      // 0 and 1 had results, 2 is out, 3 was out and waits again.
      assert.equal(rig.machine.counts().redone, 4)
      rig.step(failed('b', 2, 2, 'cancelled'))
      const late = rig.step({ type: 'checked', block: 0, attempt: 1, distance: 1 })
      assert.deepEqual(of(late, 'reset-merge'), [])
      rig.settle()
      work(rig)
      assert.deepEqual(rig.machine.counts().workers.map(({ id, blocks }) => [id, blocks]), [['liar', 0], ['b', 4]])
      assert.equal(rig.machine.counts().rejected, 1)
      end(rig)
    })

    it('caught in the same moment, before or after the change', () => {
      const lie: JobEventIn = { type: 'unsound', block: 0, attempt: 1, message: 'garbage' }
      for (const [events, rejected] of [[[lie, widened(1)], 1], [[widened(1), lie], 0]] as Array<[JobEventIn[], number]>) {
        const rig = begun({ liar: 1, b: 1 }, 2)
        rig.orders()
        rig.step(ok('liar', 0), ok('b', 1))
        rig.step(...events, split(0), ended)
        assert.deepEqual([rig.machine.counts().rejected, rig.machine.counts().redone], [rejected, 2])
        rig.effects = rig.effects.filter(({ type }) => type !== 'inspect')
        rig.settle()
        work(rig)
        end(rig)
      }
    })

    it('one told of by another job is compared no more once its results are void', () => {
      const rig = begun({ liar: 1, b: 1 }, 2)
      rig.orders()
      rig.step(ok('liar', 0), ok('b', 1))
      rig.settle()
      const effects = rig.step({ type: 'distrusted', worker: 'liar', reason: 'caught elsewhere' }, widened(1), split(0), ended)
      assert.deepEqual(refs(effects, 'check'), [])
      rig.settle()
      work(rig)
      assert.deepEqual(rig.machine.counts().workers.map(({ id, blocks }) => [id, blocks]), [['liar', 0], ['b', 2]])
      end(rig)
    })

    it('the first result of a worker that is not compared before it is void does not count as looked at', () => {
      const rig = begun({ a: 1 }, 2, { verify: 'sample' })
      rig.orders()
      rig.step(ok('a', 0), widened(1), split(0), ended)
      rig.effects = rig.effects.filter(({ type }) => type !== 'reset-merge')
      rig.step({ type: 'merge-reset', epoch: 1 })
      const checks: AttemptRef[] = []
      for (let orders = rig.orders(); orders.length > 0; orders = rig.orders()) {
        rig.step(...orders.map(parsed).map(({ worker, block, attempt }) => ok(worker, block, attempt)))
        rig.step(...rig.of('inspect').flatMap(({ results }) => results.map(ref => ({ type: 'inspected' as const, ...plain(ref), units: 1 }))))
        rig.effects = rig.effects.filter(({ type }) => type !== 'inspect')
        checks.push(...rig.of('check').flatMap(({ results }) => results))
        rig.settle()
      }
      assert.equal(checks.length, 1)
    })
  })

  it('forgets what went wrong with a block under the older schema', () => {
    const rig = begun({ a: 1, b: 1 }, 1, { limits: { engineFailures: 2 } })
    assert.deepEqual(rig.orders(), ['a:0/1'])
    rig.step(failed('a', 0, 1, 'crash'))
    rig.step(widened(1), split(0), ended)
    rig.step(failed('b', 0, 2, 'cancelled'))
    const [again] = rig.orders().slice(-1)
    const { worker, attempt } = parsed(again ?? '')
    rig.step(failed(worker, 0, attempt, 'crash'))
    assert.equal(rig.machine.state, 'running')
  })

  describe('an input that contradicts itself again and again', () => {
    it('is read to its end before anything more is given out, so that later changes cost nothing', () => {
      const rig = begun({ a: 2 }, 3)
      work(rig)
      rig.step(widened(1), split(1))
      rig.settle()
      work(rig)
      rig.step(widened(2), split(1))
      assert.equal(rig.machine.counts().redone, 3 + 4)
      rig.settle()
      assert.deepEqual(rig.orders(), [])
      for (let epoch = 3; epoch <= 6; epoch++) {
        rig.effects = rig.effects.filter(({ type }) => type !== 'pull')
        assert.ok(of(rig.step(widened(epoch), split(2000)), 'pull').length === 1, 'reading goes on, however much waits')
        rig.settle()
        assert.deepEqual(rig.orders(), [])
      }
      assert.deepEqual([rig.machine.counts().redone, rig.machine.counts().epochs], [7, 6])
      assert.equal(rig.of('news').filter(({ news }) => news.type === 'plan').length, 3, 'what costs nothing is not told each time')
      rig.step(ended)
      assert.deepEqual(rig.orders(), ['a:0/3', 'a:1/3'])
      assert.deepEqual(rig.of('news').flatMap(({ news }) => news.type === 'plan' && news.message.includes('rest of the input') ? [news.message] : []),
        ['the schema changed 2 times: the rest of the input is read before more blocks are converted'])
    })

    it('still ends when nobody is there', () => {
      const rig = begun({ a: 1 }, 1, { limits: { rejoinMs: 500 } })
      rig.step(widened(1), split(0), widened(2), split(0), { type: 'lost', worker: 'a', reason: 'gone' })
      rig.now = 500
      rig.step({ type: 'tick' })
      assert.equal(rig.machine.state, 'failed')
    })
  })

  it('means nothing to a job that failed', () => {
    const rig = begun({ a: 1 }, 1)
    rig.step({ type: 'cancel', error: { code: 'cancelled', message: 'enough' } })
    assert.deepEqual(rig.step(widened(1), split(1)), [])
    assert.equal(rig.machine.counts().epochs, 0)
  })

  it('puts a hundred thousand blocks back without going through all of them for each', () => {
    const blocks = 100_000
    const rig = begun({ a: blocks }, blocks, BELIEVED)
    rig.orders()
    rig.step(widened(1), split(0), ended)
    assert.equal(rig.machine.counts().redone, blocks)
    rig.effects = []
    rig.step(...Array.from({ length: blocks }, (_, block) => failed('a', block, 1, 'cancelled')))
    assert.equal(rig.orders().length, blocks)
  })
})
