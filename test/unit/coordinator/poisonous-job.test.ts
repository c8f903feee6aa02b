import assert from 'node:assert/strict'
import { Breakers } from '../../../daemon/coordinator/breaker.ts'
import { BELIEVED, failed, ok, Rig } from './rig.ts'
import { runVirtually, type VirtualEnd } from './virtual-pool.ts'

describe('coordinator/machine: a job that is poisonous itself', () => {
  /** What a job leaves behind, and how it ended. */
  const left = (workers: number, fails: (worker: number, block: number) => boolean, breakers = new Breakers()): { end: VirtualEnd, open: string[], opened: number } => {
    let opened = 0
    const end = runVirtually({
      durations: new Array<number>(100).fill(200),
      workers: Array.from({ length: workers }, (_, i) => ({ id: `w${i}`, cores: 4, fails: block => fails(i, block) ? 'crash' : undefined })),
      init: { breakers: breakers.of('c') },
      watch: effect => {
        if (effect.type !== 'breaker') return
        if (effect.state === 'open') opened++
        breakers.set('c', effect)
      }
    })
    return { end, opened, open: [...breakers.of('c')].filter(({ state }) => state !== 'closed').map(({ worker }) => worker) }
  }

  for (const workers of [2, 10, 50]) {
    it(`does not cut its ${workers} peers off from the next job`, () => {
      const { end, open, opened } = left(workers, () => true)
      assert.equal(end.state, 'failed')
      assert.ok(opened >= workers / 2, `only ${opened} were cut off meanwhile`)
      assert.deepEqual(open, [])
    })
  }

  it('nor does it forgive what was known before', () => {
    const breakers = new Breakers()
    breakers.set('c', { worker: 'w1', state: 'open', cause: 'hang', level: 3, retryAt: 1e9 })
    const { end } = left(4, () => true, breakers)
    assert.equal(end.state, 'failed')
    assert.deepEqual([...breakers.of('c')], [{ worker: 'w1', state: 'open', cause: 'hang', level: 3, retryAt: 1e9 }])
  })

  it('one that fails everything stays cut off when a block that others tried, too, ends the job', () => {
    const rig = Rig.started(new Array<number>(20).fill(5), { bad: 2, a: 1, b: 1, c: 1 }, BELIEVED)
    const breakers = new Breakers()
    for (let i = 0; i < 200 && rig.machine.state === 'running'; i++) {
      for (const order of rig.orders()) {
        const [to, block, attempt] = order.split(/[:/]/) as [string, string, string]
        rig.step(to === 'bad' || block === '7' ? failed(to, Number(block), Number(attempt), 'crash') : ok(to, Number(block), Number(attempt)))
      }
      rig.settle()
      rig.now += 10
      rig.step({ type: 'tick' })
    }
    assert.equal(rig.machine.state, 'failed')
    for (const effect of rig.of('breaker')) breakers.set('c', effect)
    assert.deepEqual([...breakers.of('c')].map(({ worker, state }) => [worker, state]), [['bad', 'open']])
  })

  it('an input that two peers call bad says nothing against them', () => {
    const rig = Rig.started(new Array<number>(30).fill(5), { a: 3, b: 3 }, BELIEVED)
    const bad = (to: string, block: number, attempt: number): Parameters<typeof rig.step>[0] => ({ type: 'failed', worker: to, block, attempt, reason: 'conversion', code: 'bad-input', message: 'not a table' })
    // Each block is doubted by one of them only, as long as that can be.
    for (let i = 0; i < 50 && rig.machine.state === 'running'; i++) {
      for (const order of rig.orders()) {
        const [to, block, attempt] = order.split(/[:/]/) as [string, string, string]
        rig.step(bad(to, Number(block), Number(attempt)))
      }
    }
    assert.equal(rig.machine.state, 'failed')
    const state = new Map(rig.of('breaker').map(({ worker, state }) => [worker, state]))
    assert.deepEqual([...state.values()].filter(state => state !== 'closed'), [])
  })
})

describe('coordinator/machine: many broken peers', () => {
  for (const [healthy, crashMs] of [[1, 1], [1, 200], [2, 1]] as const) {
    it(`do not use up the attempts of what ${healthy} healthy could do (they fail after ${crashMs} ms)`, () => {
      const { state, error, by, makespanMs } = runVirtually({
        durations: new Array<number>(100).fill(200),
        workers: [
          ...Array.from({ length: healthy }, (_, i) => ({ id: `good${i}` })),
          ...Array.from({ length: 50 }, (_, i) => ({ id: `bad${i}`, slowness: crashMs / 200, fails: () => 'crash' as const }))
        ],
        untilMs: 600_000
      })
      assert.deepEqual([state, error], ['done', undefined])
      assert.equal(Object.entries(by).reduce((sum, [id, blocks]) => sum + (id.startsWith('good') ? blocks : 0), 0), 100)
      assert.ok(makespanMs <= 1.1 * 100 * 200 / healthy, `${makespanMs} ms`)
    })
  }

  it('a block does not wait for the one that did something right if that one is stuck', () => {
    const end = runVirtually({
      durations: new Array<number>(8).fill(100),
      workers: [
        { id: 'proven', hangs: block => block === 3 },
        ...Array.from({ length: 4 }, (_, i) => ({ id: `bad${i}`, slowness: 0.5, fails: () => 'crash' as const })),
        { id: 'late', joinsAt: 3000 }
      ],
      untilMs: 120_000
    })
    assert.equal(end.state, 'done')
    assert.ok(end.makespanMs < 10_000, `${end.makespanMs} ms`)
  })
})
