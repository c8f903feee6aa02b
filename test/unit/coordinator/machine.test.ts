import assert from 'node:assert/strict'
import type { Effect } from '../../../daemon/coordinator/machine-types.ts'
import { failed, joined, ok, plain, Rig } from './rig.ts'

function last<T> (list: T[]): T {
  const value = list.at(-1)
  assert.ok(value !== undefined)
  return value
}

function types (effects: Effect[]): string[] {
  return effects.map(({ type }) => type)
}

describe('coordinator/machine', () => {
  it('takes a block from order to output, each step only after the one before', () => {
    const rig = Rig.started([100], { a: 1 })
    assert.deepEqual(rig.orders(), ['a:0/1'])
    assert.deepEqual(types(rig.step(ok('a', 0, 1, 'volatile'))).filter(type => type !== 'timer'), ['store'])
    assert.deepEqual(types(rig.step({ type: 'stored', block: 0, attempt: 1 })), ['inspect'])
    assert.deepEqual(types(rig.step({ type: 'inspected', block: 0, attempt: 1, units: 7 })), ['journal'])
    assert.deepEqual(types(rig.step({ type: 'committed', block: 0, attempt: 1 })).filter(type => type !== 'timer' && type !== 'news'), ['merge'])
    assert.deepEqual(types(rig.step({ type: 'merged', epoch: 0, upTo: 1 })).filter(type => type !== 'timer' && type !== 'news'), ['release', 'finish'])
    assert.deepEqual(types(rig.step({ type: 'finished' })), ['rename'])
    assert.deepEqual(rig.step({ type: 'renamed' }), [{ type: 'end', state: 'done', error: undefined }])
    assert.equal(rig.machine.counts().units, 7)
  })

  it('stores nothing that is durable already or rides in its entry', () => {
    const rig = Rig.started([100, 100], { a: 2 })
    const effects = rig.step(ok('a', 0, 1, 'inline'), ok('a', 1, 1, 'durable'))
    assert.deepEqual(types(effects), ['inspect'])
  })

  it('finishes a job without any block', () => {
    const rig = Rig.started([], {})
    assert.equal(rig.of('finish').length, 1)
  })

  it('pulls ahead of need, and not without bound', () => {
    const rig = new Rig()
    assert.ok(types(rig.step()).includes('pull'))
    assert.ok(!types(rig.step(joined('a', 4))).includes('pull'), 'one pull at a time')
    assert.ok(types(rig.step({ type: 'split', sizes: [1 << 24, 1 << 24] })).includes('pull'))
    const sizes = new Array<number>(40).fill(1 << 24)
    assert.ok(!types(rig.step({ type: 'split', sizes })).includes('pull'))
  })

  it('keeps every worker supplied up to its slots, and no further', () => {
    const rig = Rig.started(new Array<number>(10).fill(5), { a: 2, b: 3 })
    assert.deepEqual(rig.orders().map(order => order.slice(0, 1)).sort(), ['a', 'a', 'b', 'b', 'b'])
    rig.step(ok('a', 0))
    assert.deepEqual(rig.orders(), ['a:5/1'])
  })

  it('takes orders in flight from the request if it says so, but gives a draining worker none', () => {
    const rig = Rig.started(new Array<number>(10).fill(5), { a: 2, b: 0 }, { inFlight: 4 })
    assert.equal(rig.orders().length, 4)
  })

  describe('results', () => {
    it('takes one per block, under whichever attempt it comes, and drops the others', () => {
      const rig = Rig.started([5], { a: 1, b: 1 })
      assert.deepEqual(rig.orders(), ['a:0/1'])
      rig.step({ type: 'lost', worker: 'a', reason: 'gone' })
      assert.deepEqual(rig.orders(), ['b:0/2'])
      rig.step(joined('a'))
      // The result of the older attempt arrives after all: it counts, and the copy at b is cancelled.
      const effects = rig.step(ok('a', 0, 1))
      assert.deepEqual(effects.filter(({ type }) => type === 'cancel'), [{ type: 'cancel', worker: 'b', attempts: [last(rig.of('cancel')).attempts[0]] }])
      assert.ok(types(effects).includes('inspect'))
      const late = rig.step(ok('b', 0, 2))
      assert.deepEqual(late.flatMap(effect => effect.type === 'discard' ? effect.results.map(plain) : []), [{ block: 0, attempt: 2 }])
      assert.ok(!types(late).includes('inspect'))
      rig.settle()
      assert.equal(rig.machine.counts().workers.find(({ id }) => id === 'a')?.blocks, 1)
    })

    it('ignores an attempt that was never made, or made by somebody else', () => {
      const rig = Rig.started([5], { a: 1, b: 1 })
      rig.orders()
      assert.ok(!types(rig.step(ok('a', 0, 2))).includes('inspect'))
      assert.ok(!types(rig.step(ok('b', 0, 1))).includes('inspect'))
      assert.ok(!types(rig.step(ok('a', 9, 1))).includes('inspect'))
    })

    it('merges in order as soon as the prefix is there', () => {
      const rig = Rig.started([5, 5, 5], { a: 3 })
      rig.step(ok('a', 2), ok('a', 1))
      rig.settle()
      assert.equal(rig.machine.counts().merged, 0)
      rig.step(ok('a', 0))
      rig.settle()
      assert.equal(rig.machine.counts().merged, 3)
    })
  })

  describe('failures', () => {
    it('gives the blocks of a lost worker to others at once', () => {
      const rig = Rig.started([5, 5, 5], { a: 2, b: 1 })
      rig.orders()
      rig.step({ type: 'lost', worker: 'a', reason: 'killed' }, { type: 'slots', worker: 'b', slots: 3 })
      assert.deepEqual(rig.orders(), ['b:0/2', 'b:2/2'].toSorted())
      assert.equal(rig.machine.counts().redispatched, 2)
    })

    it('tries a failed block on another worker', () => {
      const rig = Rig.started([5], { a: 1, b: 1 })
      rig.orders()
      rig.step(failed('a', 0, 1, 'crash'))
      assert.deepEqual(rig.orders(), ['b:0/2'])
    })

    it('fails the job, naming the block, when engines die of it three times', () => {
      const rig = Rig.started([5], { a: 1, b: 1, c: 1 })
      const workers = ['a', 'b', 'c']
      for (let attempt = 1; attempt <= 3; attempt++) {
        const worker = last(rig.orders()).slice(0, 1)
        assert.ok(workers.includes(worker))
        workers.splice(workers.indexOf(worker), 1)
        rig.step(failed(worker, 0, attempt, 'out-of-memory'))
      }
      assert.deepEqual(types(rig.step({ type: 'aborted' })), ['end'])
      const end = last(rig.of('end'))
      assert.equal(end.state, 'failed')
      assert.match(end.error?.message ?? '', /block 0 failed 3 times.*out-of-memory/)
      assert.equal(end.error?.details?.block, 0)
    })

    it('leaves a busy worker alone for as long as it says', () => {
      const rig = Rig.started([5], { a: 1 })
      rig.orders()
      rig.step(failed('a', 0, 1, 'busy', { retryAfterMs: 250 }))
      assert.deepEqual(rig.orders(), [])
      assert.equal(last(rig.of('timer')).at, 250)
      rig.now = 250
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.orders(), ['a:0/2'])
      assert.equal(rig.machine.counts().workers[0]?.failed, 0)
    })

    it('stops using a worker that cannot or will not', () => {
      for (const reason of ['unsupported', 'policy', 'protocol', 'expired'] as const) {
        const rig = Rig.started([5], { a: 1, b: 1 })
        rig.orders()
        rig.step(failed('a', 0, 1, reason))
        assert.deepEqual(rig.orders(), ['b:0/2'])
        assert.equal(rig.of('release').length, 1)
        assert.ok(types(rig.step(joined('a'))).includes('release'), 'nor when it comes back')
      }
    })

    it('believes the local converter about the input, a peer only the second time', () => {
      const local = new Rig()
      local.step(joined('local', 1, 'local'), { type: 'split', sizes: [5] })
      local.step(failed('local', 0, 1, 'conversion', { code: 'contradiction' }))
      assert.equal(local.machine.state, 'failed')

      const remote = Rig.started([5], { a: 1, b: 1 })
      remote.orders()
      remote.step(failed('a', 0, 1, 'conversion', { code: 'contradiction' }))
      assert.equal(remote.machine.state, 'running')
      assert.deepEqual(remote.orders(), ['b:0/2'])
      remote.step(failed('b', 0, 2, 'conversion', { code: 'contradiction' }), { type: 'aborted' })
      assert.equal(last(remote.of('end')).error?.code, 'contradiction')
    })

    it('a lying peer cannot kill a job by calling the input bad', () => {
      const rig = Rig.started([5], { a: 1, b: 1 })
      rig.orders()
      rig.step(failed('a', 0, 1, 'conversion', { code: 'bad-input' }))
      rig.step(ok('b', 0, 2))
      rig.settle()
      rig.step({ type: 'finished' }, { type: 'renamed' })
      assert.equal(rig.machine.state, 'done')
    })

    it('cancels an attempt that takes too long and gives its block to somebody else', () => {
      const rig = Rig.started([5], { a: 1, b: 1 }, { limits: { attemptMs: 1000 } })
      rig.orders()
      // Looked at when the first of them is due, not a share of that later.
      assert.equal(last(rig.of('timer')).at, 1000)
      rig.now = 1000
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.of('cancel').map(({ worker }) => worker), ['a'])
      assert.deepEqual(rig.orders(), ['b:0/2'])
    })

    it('looks at each attempt when it is due, whenever it was given', () => {
      const rig = Rig.started([5, 5, 5], { a: 1, b: 1 }, { limits: { attemptMs: 1000 } })
      rig.now = 400
      rig.step(ok('a', 0))
      assert.equal(rig.orders().at(-1), 'a:2/1')
      rig.now = 1000
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.of('cancel').map(({ worker }) => worker), ['b'])
      assert.equal(last(rig.of('timer')).at, 1400)
    })

    it('does not use a worker any more that does not even end what was cancelled', () => {
      // Its slot would count as one that comes free, and a block that failed at b would wait for it for ever.
      const rig = Rig.started([5, 5], { a: 1, b: 1 }, { limits: { attemptMs: 1000 } })
      rig.step(ok('b', 1))
      rig.now = 1000
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.orders().at(-1), 'b:0/2')
      rig.step(failed('b', 0, 2, 'crash'))
      rig.now = 2000
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.of('release').map(({ worker }) => worker), ['a'])
    })

    it('near the end waits for a worker that was fast only as long as it is', () => {
      const rig = Rig.started(new Array<number>(12).fill(100), { a: 1, b: 1 })
      // a does a block in 10 ms, b in 100; then a hangs, with two blocks left.
      const open = new Map<string, { block: number, attempt: number, since: number }>()
      const take = (): void => {
        for (const order of rig.orders()) {
          const [worker, block, attempt] = order.split(/[:/]/) as [string, string, string]
          open.set(worker, { block: Number(block), attempt: Number(attempt), since: rig.now })
        }
      }
      const answer = (worker: string): void => {
        const { block, attempt } = open.get(worker) as { block: number, attempt: number }
        open.delete(worker)
        rig.step(ok(worker, block, attempt))
        rig.settle()
        take()
      }
      take()
      while (rig.machine.counts().done < 9) {
        rig.now += 10
        if (open.has('a')) answer('a')
        if (open.has('b') && rig.now - (open.get('b')?.since ?? 0) >= 100) answer('b')
      }
      const hangsSince = open.get('a')?.since ?? 0
      while (open.has('b')) answer('b')
      assert.ok(rig.machine.counts().done < 12)
      const at = last(rig.of('timer')).at ?? Infinity
      // A block waits for a, and not for long.
      assert.ok(at > rig.now && at - hangsSince < 100, `${at} of ${hangsSince}`)
      rig.now = at
      rig.step({ type: 'tick' })
      take()
      assert.ok(open.has('b'), 'b gets what waited')
      while (open.has('b')) {
        rig.now += 100
        answer('b')
      }
      assert.equal(rig.machine.counts().done, 11)
    })

    it('gives up on a block that takes every node down that holds it', () => {
      const rig = Rig.started([5], {}, { limits: { blockLosses: 3 } })
      for (let i = 0; i < 4; i++) {
        rig.step(joined(`w${i}`))
        rig.step({ type: 'lost', worker: `w${i}`, reason: 'dead' })
      }
      assert.equal(rig.machine.state, 'failed')
    })
  })

  describe('nobody there', () => {
    it('fails with no-provider a moment after the first search found nobody', () => {
      const rig = new Rig({ limits: { noneMs: 500 } })
      rig.step({ type: 'split', sizes: [5] }, { type: 'settled', count: 0 })
      assert.equal(last(rig.of('timer')).at, 500)
      rig.now = 500
      rig.step({ type: 'tick' })
      rig.step({ type: 'aborted' })
      assert.equal(last(rig.of('end')).error?.code, 'no-provider')
    })

    it('waits longer for workers that were lost, and goes on when one comes back', () => {
      const rig = Rig.started([5], { a: 1 }, { limits: { noneMs: 500, rejoinMs: 5000 } })
      rig.orders()
      rig.step({ type: 'lost', worker: 'a', reason: 'gone' })
      rig.now = 4000
      rig.step({ type: 'tick' })
      assert.equal(rig.machine.state, 'running')
      rig.step(joined('a'))
      assert.deepEqual(rig.orders(), ['a:0/2'])
    })

    it('says check-failed when the only worker lied', () => {
      const rig = Rig.started([5], { a: 1 }, { verify: 'all', limits: { noneMs: 500 } })
      rig.step(ok('a', 0), { type: 'inspected', block: 0, attempt: 1, units: 1 }, { type: 'checked', block: 0, attempt: 1, distance: 1, difference: 'row 3 differs' })
      rig.now = 500
      rig.step({ type: 'tick' })
      rig.step({ type: 'aborted' })
      const { error } = last(rig.of('end'))
      assert.equal(error?.code, 'check-failed')
      assert.match(error?.message ?? '', /row 3 differs/)
    })
  })

  describe('wrong results', () => {
    it('are rejected by the always-on check, and their worker is not used again', () => {
      const rig = Rig.started([5, 5], { a: 1, b: 1 })
      rig.orders()
      rig.step(ok('a', 0))
      const effects = rig.step({ type: 'unsound', block: 0, attempt: 1, message: 'not Parquet' })
      assert.deepEqual(types(effects).filter(type => ['discard', 'ban', 'release'].includes(type)), ['discard', 'ban', 'release'])
      rig.step(ok('b', 1))
      assert.deepEqual(rig.orders(), ['b:0/2'])
      assert.equal(rig.machine.counts().rejected, 1)
    })

    it('make everything else of their worker be compared before the rename, and what is merged already be merged again', () => {
      const rig = Rig.started([5, 5, 5, 5], { a: 2, b: 1 })
      rig.step(ok('a', 0))
      rig.settle()
      assert.equal(rig.machine.counts().merged, 1)
      const second = rig.orders().find(order => order.startsWith('a:') && !order.startsWith('a:0')) ?? ''
      const block = Number(second.slice(2, 3))
      rig.step(ok('a', block))
      const effects = rig.step({ type: 'unsound', block, attempt: 1, message: 'garbage' })
      assert.deepEqual(effects.flatMap(effect => effect.type === 'check' ? effect.results.map(plain) : []), [{ block: 0, attempt: 1 }])
      assert.equal(rig.of('reset-merge').length, 0)
      const again = rig.step({ type: 'checked', block: 0, attempt: 1, distance: 3 })
      assert.ok(types(again).includes('reset-merge'))
      assert.equal(rig.machine.counts().rejected, 2)
      // Everything is done by b in the end, and merged from the start.
      rig.effects = rig.effects.filter(({ type }) => type !== 'check')
      for (let i = 0; i < 4; i++) {
        for (const order of rig.orders()) {
          const [worker, rest] = order.split(':') as [string, string]
          const [index, attempt] = rest.split('/').map(Number) as [number, number]
          if (worker === 'b') rig.step(ok('b', index, attempt))
        }
        if (i === 0) rig.step(ok('b', 1))
        rig.settle()
      }
      assert.equal(rig.machine.counts().merged, 4)
      assert.deepEqual(rig.machine.counts().workers.map(({ id, blocks }) => [id, blocks]), [['a', 0], ['b', 4]])
    })

    it('keep the output from being finished while a comparison is under way', () => {
      const rig = Rig.started([5, 5], { a: 1, b: 1 })
      rig.step(ok('a', 0), ok('b', 1))
      rig.step({ type: 'inspected', block: 0, attempt: 1, units: 1 })
      rig.step({ type: 'committed', block: 0, attempt: 1 })
      rig.step({ type: 'lost', worker: 'b', reason: 'gone' })
      rig.step(joined('b'))
      rig.step({ type: 'unsound', block: 1, attempt: 1, message: 'garbage' })
      rig.step(ok('a', 1, 2))
      rig.step({ type: 'inspected', block: 1, attempt: 2, units: 1 }, { type: 'committed', block: 1, attempt: 2 })
      rig.settle()
      assert.equal(rig.of('finish').length, 1)
      assert.equal(rig.machine.counts().rejected, 1)
    })

    it('are not taken from a worker that was caught', () => {
      const rig = Rig.started([5, 5, 5], { a: 2, b: 1 })
      rig.orders()
      rig.step(ok('a', 0), { type: 'unsound', block: 0, attempt: 1, message: 'garbage' })
      const effects = rig.step(ok('a', 2, 1))
      assert.ok(!types(effects).includes('inspect'))
    })
  })

  describe('the checking policy', () => {
    it('compares the first result of each worker, then the draw', () => {
      const rig = Rig.started([5, 5, 5, 5], { a: 4 }, { verify: 'sample' })
      rig.step(ok('a', 0), ok('a', 1))
      rig.random = () => 0.01
      rig.step(ok('a', 2))
      rig.random = () => 0.5
      rig.step(ok('a', 3))
      const inspected = rig.of('inspect').flatMap(({ results }) => results.map(({ block }) => block))
      assert.deepEqual(inspected, [0, 1, 2, 3])
      rig.effects = []
      rig.step(...inspected.map(block => ({ type: 'inspected' as const, block, attempt: 1, units: 1 })))
      assert.deepEqual(rig.of('check').flatMap(({ results }) => results.map(({ block }) => block)), [0, 2])
      assert.deepEqual(rig.of('journal').flatMap(({ results }) => results.map(({ block }) => block)), [1, 3])
    })
  })

  describe('the end', () => {
    it('cancel removes the output, lets everybody go, and is final', () => {
      const rig = Rig.started([5, 5], { a: 1 })
      const effects = rig.step({ type: 'cancel', error: { code: 'cancelled', message: 'enough' } })
      assert.deepEqual(types(effects).filter(type => type === 'release' || type === 'abort').toSorted(), ['abort', 'release'])
      rig.step(ok('a', 0))
      assert.deepEqual(rig.step({ type: 'aborted' }), [{ type: 'end', state: 'cancelled', error: { code: 'cancelled', message: 'enough' } }])
      assert.equal(rig.machine.state, 'cancelled')
      assert.deepEqual(rig.step(joined('b')).map(({ type }) => type), ['release'])
    })

    it('a cancel that comes after the rename was asked for is too late', () => {
      const rig = Rig.started([5], { a: 1 })
      rig.step(ok('a', 0))
      rig.settle()
      rig.step({ type: 'finished' })
      rig.step({ type: 'cancel', error: { code: 'cancelled', message: 'enough' } })
      assert.deepEqual(rig.step({ type: 'renamed' }), [{ type: 'end', state: 'done', error: undefined }])
    })

    it('nothing but its own failure ends a rename: the output may be there already', () => {
      // Found by the simulator (seed 4959): a disk error elsewhere made a job fail whose output was being renamed.
      const rig = Rig.started([5], { a: 1 }, { deadlineAt: 500 })
      rig.step(ok('a', 0))
      rig.settle()
      rig.step({ type: 'finished' })
      rig.now = 600
      assert.deepEqual(types(rig.step({ type: 'broken', error: { code: 'failed', message: 'disk' } }, { type: 'tick' })), [])
      assert.deepEqual(rig.step({ type: 'renamed' }), [{ type: 'end', state: 'done', error: undefined }])
    })

    it('a failed rename removes the output', () => {
      const rig = Rig.started([5], { a: 1 })
      rig.step(ok('a', 0))
      rig.settle()
      rig.step({ type: 'finished' })
      assert.ok(types(rig.step({ type: 'rename-failed', error: { code: 'output-exists', message: 'there' } })).includes('abort'))
    })

    it('the deadline ends it also while the output is ended, unless that is over', () => {
      const rig = Rig.started([5], { a: 1 }, { deadlineAt: 700 })
      rig.step(ok('a', 0))
      rig.settle()
      assert.equal(rig.of('finish').length, 1)
      assert.equal(last(rig.of('timer')).at, 700)
      rig.now = 700
      assert.ok(types(rig.step({ type: 'tick' })).includes('abort'))
      rig.step({ type: 'aborted' })
      assert.equal(last(rig.of('end')).error?.code, 'deadline')
    })

    it('the deadline ends it', () => {
      const rig = Rig.started([5], { a: 1 }, { deadlineAt: 700 })
      assert.equal(last(rig.of('timer')).at, 700)
      rig.now = 700
      rig.step({ type: 'tick' })
      rig.step({ type: 'aborted' })
      assert.equal(last(rig.of('end')).error?.code, 'deadline')
    })
  })

  it('tells at most a thousand pieces of news about blocks a second', () => {
    const rig = Rig.started(new Array<number>(3000).fill(1), { a: 3000 })
    assert.equal(rig.of('news').filter(({ news }) => news.type === 'block').length, 1000)
    rig.now = 1000
    rig.step(ok('a', 0), { type: 'inspected', block: 0, attempt: 1, units: 1 }, { type: 'committed', block: 0, attempt: 1 })
    assert.equal(rig.of('news').filter(({ news }) => news.type === 'block').length, 1001)
  })
})
