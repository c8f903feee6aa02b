import assert from 'node:assert/strict'
import { Block } from '../../../daemon/coordinator/block-table.ts'
import { WorkerEntry } from '../../../daemon/coordinator/worker-table.ts'
import { BELIEVED, failed, joined, last, ok, Rig, types } from './rig.ts'

describe('coordinator/machine', () => {
  describe('failures', () => {
    it('gives the blocks of a lost worker to others at once', () => {
      const rig = Rig.started([5, 5, 5], { a: 2, b: 1 }, BELIEVED)
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

    it('counts a loss against a block only if the lost worker still held it', () => {
      const rig = Rig.started([5], { a: 1, b: 1 }, { limits: { attemptMs: 1000, blockLosses: 0 } })
      rig.orders()
      rig.now = 1000
      rig.step({ type: 'tick' })
      assert.deepEqual(rig.orders(), ['b:0/2'])
      rig.step({ type: 'lost', worker: 'a', reason: 'dead' })
      assert.equal(rig.machine.state, 'running', 'b holds it')
      rig.step({ type: 'lost', worker: 'b', reason: 'dead' })
      assert.equal(rig.machine.state, 'failed')
    })

    it('holds nothing that went wrong with its old conversion against a block', () => {
      const block = new Block(0, 5)
      const fresh = { ...block }
      block.accusations = [{ worker: new WorkerEntry('w', 'remote'), engine: true, counts: true }]
      Object.assign(block, { losses: 1, stolen: 1, blamed: true })
      block.renew()
      assert.deepEqual({ ...block }, fresh)
    })
  })

  describe('nobody there', () => {
    it('waits for who was found and could not be had just then', () => {
      const rig = new Rig({ limits: { noneMs: 500, rejoinMs: 5000 } })
      rig.step({ type: 'split', sizes: [5] }, { type: 'settled', count: 0, hoped: true })
      assert.equal(last(rig.of('timer')).at, 5000)
      rig.now = 4999
      rig.step({ type: 'tick' })
      assert.equal(rig.machine.state, 'running')
      rig.now = 5000
      rig.step({ type: 'tick' })
      rig.step({ type: 'aborted' })
      assert.equal(last(rig.of('end')).error?.code, 'no-provider')
      assert.match(last(rig.of('end')).error?.message ?? '', /^nobody who offers this conversion could be had/)
    })

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
})
