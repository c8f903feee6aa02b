import assert from 'node:assert/strict'
import { ATTEMPT_WORDS_MAX, ATTEMPTS_VIEWED, MOVES_KEPT, WHY_PEERS_MAX, WORKERS_VIEWED } from '../../../daemon/coordinator/constants.ts'
import { lookAt, whyOf } from '../../../daemon/coordinator/job-look.ts'
import type { MachineView } from '../../../daemon/coordinator/block-view.ts'
import { BELIEVED, failed, joined, ok, Rig } from './rig.ts'

const view = (rig: Rig, limit = 100): MachineView => rig.machine.view(rig.now, limit)

describe('coordinator: who has what', () => {
  it('tells who has each block and for how long, and what came of it before', () => {
    const rig = Rig.started([10, 10, 10, 10], { a: 2, b: 1 })
    rig.now = 500
    rig.step(failed('a', 0, 1, 'crash', { message: 'engine died' }))
    rig.now = 800
    const { total, known, done, blocks, workers } = view(rig)
    assert.deepEqual([total, known, done], [4, true, 0])
    const first = blocks.find(({ block }) => block === 0)
    assert.deepEqual(first?.attempts[0], { attempt: 1, peer: 'a', state: 'ended', ageMs: 800, forMs: 500, ended: 'crash: engine died' })
    for (const { state, attempts } of blocks) assert.equal(attempts.some(attempt => attempt.state === 'out'), state === 'leased')
    assert.deepEqual(workers.map(({ peer, state, has, oldestMs }) => ({ peer, state, has, oldestMs })), [{ peer: 'a', state: 'working', has: 2, oldestMs: 800 }, { peer: 'b', state: 'working', has: 1, oldestMs: 800 }])
  })

  it('lists what is longest out first, then what waits, and no more than it is asked for', () => {
    const rig = Rig.started([10, 10, 10, 10, 10], { a: 2 })
    rig.now = 100
    rig.step(ok('a', 0))
    assert.deepEqual(view(rig).blocks.map(({ block, state }) => `${block} ${state}`), ['1 leased', '2 leased', '0 inspecting', '3 ready', '4 ready'])
    rig.settle()
    assert.deepEqual(view(rig, 2).blocks.map(({ block }) => block), [1, 2])
    assert.deepEqual(view(rig, 0).blocks, [])
    assert.equal(view(rig).done, 1)
  })

  it('says why a block moved: from whom, to whom, or that two have it', () => {
    const rig = Rig.started([10, 10], { a: 2 })
    rig.step({ type: 'suspect', worker: 'a', reason: 'silent for 1300 ms' })
    rig.now = 50
    rig.step(joined('b', 1))
    const [copy] = view(rig).moved
    assert.deepEqual(copy, { block: 0, from: 'a', to: 'b', copy: true, reason: 'a is suspect: silent for 1300 ms', agoMs: 0 })
    assert.equal(view(rig).blocks.find(({ block }) => block === 0)?.attempts[1]?.copy, 'a is suspect: silent for 1300 ms')
    assert.deepEqual(view(rig).workers.map(({ peer, state, message }) => ({ peer, state, message })), [{ peer: 'a', state: 'suspect', message: 'silent for 1300 ms' }, { peer: 'b', state: 'working', message: undefined }])
    rig.now = 2000
    rig.step({ type: 'lost', worker: 'a', reason: 'silent for 2600 ms' })
    assert.deepEqual(view(rig).moved[0], { block: 1, from: 'a', copy: false, reason: 'silent for 2600 ms', agoMs: 0 })
    rig.now = 2500
    rig.step(ok('b', 0, 2))
    assert.deepEqual(view(rig).moved[0], { block: 1, from: 'a', to: 'b', copy: false, reason: 'silent for 2600 ms', agoMs: 500 })
    assert.deepEqual(view(rig).workers.map(({ peer, state }) => `${peer} ${state}`), ['b working', 'a lost'])
  })

  it('the loser of two copies is called off, and says so', () => {
    const rig = Rig.started([10], { a: 1 })
    rig.step({ type: 'suspect', worker: 'a', reason: 'silent' })
    rig.step(joined('b', 1))
    rig.step(ok('b', 0, 2))
    const [block] = view(rig).blocks
    assert.deepEqual(block?.attempts.map(({ peer, state, ended }) => ({ peer, state, ended })), [{ peer: 'a', state: 'called-off', ended: 'another attempt was done first' }, { peer: 'b', state: 'taken', ended: undefined }])
  })

  it('keeps its answers bounded, whatever there is', () => {
    const many = 2 * WORKERS_VIEWED
    const rig = Rig.started(new Array<number>(WORKERS_VIEWED).fill(1), Object.fromEntries(Array.from({ length: many }, (_, i) => [`w${i}`, 1])), { ...BELIEVED, limits: { blockAttempts: 1000, blockFailures: 1000, engineFailures: 1000, blockLosses: 1000, breakerFailures: 1000 } })
    assert.deepEqual([view(rig).workers.length, view(rig).moreWorkers], [WORKERS_VIEWED, WORKERS_VIEWED])
    for (let round = 1; round <= 2 * ATTEMPTS_VIEWED; round++) {
      const attempt = view(rig, 1000).blocks.find(({ block }) => block === 0)?.attempts.at(-1)
      rig.step(failed(attempt?.peer ?? '', 0, attempt?.attempt ?? 0, 'transfer', { message: 'x'.repeat(1000) }))
    }
    const block = view(rig, 1000).blocks.find(({ block }) => block === 0)
    assert.equal(block?.attempts.length, ATTEMPTS_VIEWED)
    assert.ok((block?.attempts.at(-1)?.attempt ?? 0) > ATTEMPTS_VIEWED)
    for (const { ended } of block?.attempts ?? []) assert.ok((ended ?? '').length <= ATTEMPT_WORDS_MAX)
    assert.equal(view(rig).moved.length, MOVES_KEPT)
  })

  it('says of one that drains that it takes nothing, once, and when that is over', () => {
    const rig = Rig.started([10, 10, 10], { a: 1, b: 1 })
    const told = (): string[] => rig.of('news').flatMap(({ news }) => news.type === 'worker' && news.peer === 'a' ? [news.change] : [])
    rig.now = 5000
    rig.step({ type: 'slots', worker: 'a', slots: 0 }, { type: 'slots', worker: 'a', slots: 0 })
    assert.deepEqual(told(), ['joined', 'draining'])
    assert.equal(view(rig).workers.find(({ peer }) => peer === 'a')?.state, 'draining')
    for (let round = 0; round < 50; round++) rig.step({ type: 'slots', worker: 'a', slots: 1 }, { type: 'slots', worker: 'a', slots: 0 })
    assert.deepEqual(told(), ['joined', 'draining', 'joined'], 'one that flaps is not told of each time')
    rig.now = 6000
    rig.step({ type: 'slots', worker: 'a', slots: 0 })
    assert.deepEqual(told(), ['joined', 'draining', 'joined', 'draining'])
  })

  it('an error for want of workers says of each why it was not used', () => {
    const rig = Rig.started([10], { a: 1, b: 1 }, { limits: { rejoinMs: 100 } })
    rig.step({ type: 'lost', worker: 'a', reason: 'the connection closed' })
    rig.step(failed('b', 0, 2, 'unsupported', { message: 'no such version' }))
    rig.now = 200
    rig.step({ type: 'tick' })
    rig.step({ type: 'aborted' })
    const { error } = rig.of('end')[0] ?? {}
    assert.deepEqual((error?.details?.workers as Array<{ peer: string, reason: string }> | undefined)?.map(({ peer, reason }) => `${peer} ${reason}`), ['a lost', 'b refused'])
  })
})

describe('coordinator: why a job does not run', () => {
  it('gives the job\'s own reasons first, then peers left out, those never attached among them, and those without work last', () => {
    const why = whyOf({ job: [{ reason: 'worker', message: 'none' }], peers: [{ peer: 'i', reason: 'idle', message: '' }, { peer: 's', reason: 'suspect', message: '' }] }, [{ peer: 'p', reason: 'price', message: '' }, { peer: 's', reason: 'lost', message: '' }])
    assert.deepEqual(why.map(({ peer, reason }) => `${peer ?? 'job'} ${reason}`), ['job worker', 's suspect', 'p price', 'i idle'])
  })

  it('names a bounded number of peers, and says how many more there are', () => {
    const refusals = Array.from({ length: WHY_PEERS_MAX + 7 }, (_, i) => ({ peer: `p${i}`, reason: 'policy', message: '' }))
    const why = whyOf({ job: [], peers: [] }, refusals)
    assert.equal(why.length, WHY_PEERS_MAX + 1)
    assert.deepEqual(why.at(-1), { reason: 'more', message: '7 more peers are left out' })
  })

  it('calls files what the user calls them', () => {
    const rig = Rig.started([10, 10], { a: 2 })
    rig.step(failed('a', 0, 1, 'transfer', { message: 'reading /scratch/copy' }))
    const look = lookAt({ job: 'j', state: 'running', at: 5, text: said => said.replaceAll('/scratch/copy', 'in.csv.gz') }, { view: view(rig), refusals: [{ peer: 'z', reason: 'x', message: '/scratch/copy' }] })
    assert.ok(!JSON.stringify(look).includes('/scratch'))
    assert.ok(JSON.stringify(look.moved).includes('in.csv.gz'))
  })

  it('says that a job is being prepared, and nothing of one that has ended', () => {
    const facts = { job: 'j', at: 5, text: (said: string) => said }
    assert.deepEqual(lookAt({ ...facts, state: 'preparing' }).why.map(({ reason }) => reason), ['preparing'])
    assert.deepEqual(lookAt({ ...facts, state: 'done' }).why, [])
  })
})
