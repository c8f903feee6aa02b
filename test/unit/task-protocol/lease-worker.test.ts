import assert from 'node:assert/strict'
import { BATCH_MAX, OFFERS_MAX } from '../../../daemon/task-protocol/constants.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { createLeaseWorker } from '../../../daemon/task-protocol/lease-worker.ts'
import type { Generation, OfferRef, OrderRef, RequesterMessage, ResultRef, Slots } from '../../../daemon/task-protocol/lease-model.ts'
import type { WorkerEffect, WorkerEvent } from '../../../daemon/task-protocol/lease-worker-events.ts'

type Effect = WorkerEffect<OrderRef, ResultRef, OfferRef>
const first = { incarnation: 3, counter: 1 }
const second = { incarnation: 3, counter: 2 }
const order = (block: number, fields: Partial<OrderRef> = {}): OrderRef => ({ offer: 1, block, attempt: 1, weight: 10, large: false, ...fields })
const result = (block: number, fields: Partial<ResultRef> = {}): ResultRef => ({ offer: 1, block, attempt: 1, ok: true, weight: 10, ...fields })

function machine (slots: Slots = { process: 2, inline: 2 }, windowBytes?: number) {
  const worker = createLeaseWorker<OrderRef, ResultRef, OfferRef>({
    slots,
    windowBytes,
    judge: ({ offer }) => offer === 13 ? { ok: false, reason: 'unsupported', message: 'unlucky', retryAfterMs: 0 } : { ok: true, pool: offer === 2 ? 'inline' : 'process' },
    refusal: ({ offer, block, attempt }, { reason }) => ({ offer, block, attempt, ok: false, reason, weight: 0 })
  })
  const step = (event: WorkerEvent<OrderRef, ResultRef, OfferRef>, now = 0): Effect[] => worker.step(event, now)
  const hear = (message: RequesterMessage<OrderRef, OfferRef>, generation: Generation = first, now = 0): Effect[] => step({ type: 'message', generation, message }, now)
  return { worker, step, hear }
}

function leased (slots?: Slots, windowBytes?: number) {
  const made = machine(slots, windowBytes)
  made.hear({ type: 'request', generation: first })
  made.hear({ type: 'offer', offer: { offer: 1, deadline: 0 } })
  return made
}

const types = (effects: Effect[]): string[] => effects.map(effect => effect.type === 'send' ? `send ${effect.message.type}` : effect.type)
const started = (effects: Effect[]): number[] => effects.flatMap(effect => effect.type === 'start' ? effect.orders.map(({ block }) => block) : [])
const answered = (effects: Effect[]): Array<[number, string | undefined]> => effects.flatMap(effect => effect.type === 'send' && effect.message.type === 'results' ? effect.message.results.map(({ block, reason }): [number, string | undefined] => [block, reason]) : [])

describe('lease worker', () => {
  it('grants, judges offers, starts orders, sends results', () => {
    const { hear, step } = machine()
    assert.deepEqual(types(hear({ type: 'request', generation: first })), ['send grant'])
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 0 } })), ['send accept-offer'])
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 13, deadline: 0 } })), ['send refuse-offer'])
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(0), order(1)] })), [0, 1])
    assert.deepEqual(answered(step({ type: 'finished', generation: first, results: [result(0), result(1)] })), [[0, undefined], [1, undefined]])
  })

  it('refuses orders beyond the slots as busy, and takes more when some are finished', () => {
    const { hear, step } = leased()
    const effects = hear({ type: 'orders', orders: [order(0), order(1), order(2)] })
    assert.deepEqual(started(effects), [0, 1])
    assert.deepEqual(answered(effects), [[2, 'busy']])
    step({ type: 'finished', generation: first, results: [result(0)] })
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(3)] })), [3])
  })

  it('refuses a requester that never acknowledges', () => {
    const { hear, step } = leased({ process: 1, inline: 0 })
    for (let block = 0; block < 2; block++) {
      assert.deepEqual(started(hear({ type: 'orders', orders: [order(block)] })), [block])
      step({ type: 'finished', generation: first, results: [result(block)] })
    }
    assert.deepEqual(answered(hear({ type: 'orders', orders: [order(9)] })), [[9, 'busy']])
    hear({ type: 'ack', sequence: 2 })
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(10)] })), [10])
  })

  it('ends the lease of one that keeps ordering beyond its slots without acknowledging the refusals', () => {
    const { hear } = leased({ process: 1, inline: 0 })
    let violated = false
    for (let i = 0; i < BATCH_MAX + 3 && !violated; i++) violated = hear({ type: 'orders', orders: [order(i)] }).some(effect => effect.type === 'violation')
    assert.ok(violated)
  })

  it('keeps results back beyond the byte window until some are acknowledged', () => {
    const { hear, step, worker } = leased({ process: 10, inline: 0 }, 100)
    hear({ type: 'orders', orders: [0, 1, 2, 3].map(block => order(block)) })
    assert.deepEqual(answered(step({ type: 'finished', generation: first, results: [0, 1, 2].map(block => result(block, { weight: 60 })) })), [[0, undefined]])
    assert.equal(worker.inspect().held, 2)
    assert.deepEqual(answered(hear({ type: 'ack', sequence: 1 })), [[1, undefined]])
    assert.deepEqual(answered(hear({ type: 'ack', sequence: 2 })), [[2, undefined]])
  })

  it('aborts what is cancelled, once, and answers it when the engine has ended', () => {
    const { hear, step } = leased()
    hear({ type: 'orders', orders: [order(0)] })
    const cancel = { type: 'cancel', attempts: [{ offer: 1, block: 0, attempt: 1 }, { offer: 1, block: 7, attempt: 1 }, { offer: 9, block: 0, attempt: 1 }] } as const
    assert.deepEqual(types(hear({ ...cancel, attempts: [...cancel.attempts] })), ['abort'])
    assert.deepEqual(hear({ ...cancel, attempts: [...cancel.attempts] }), [])
    assert.deepEqual(answered(step({ type: 'finished', generation: first, results: [result(0, { ok: false, reason: 'cancelled' })] })), [[0, 'cancelled']])
  })

  it('obeys only the newest generation', () => {
    const { hear, step, worker } = leased()
    hear({ type: 'orders', orders: [order(0)] })
    assert.deepEqual(types(hear({ type: 'request', generation: second })), ['abort', 'close', 'send grant'])
    for (const message of [{ type: 'orders', orders: [order(1)] }, { type: 'cancel', attempts: [] }, { type: 'offer', offer: { offer: 5, deadline: 0 } }, { type: 'ack', sequence: 1 }, { type: 'withdraw', offer: 1 }] as Array<RequesterMessage<OrderRef, OfferRef>>) {
      assert.deepEqual(types(hear(message, first)), ['stale'])
    }
    assert.deepEqual(types(step({ type: 'task-order', generation: first, order: order(1, { large: true }) })), ['stale', 'refuse-task'])
    assert.deepEqual(step({ type: 'finished', generation: first, results: [result(0)] }), [])
    assert.deepEqual(step({ type: 'lost', generation: first }), [])
    assert.ok(worker.open)
    for (const old of [second, first, { incarnation: 2, counter: 99 }]) assert.deepEqual(types(hear({ type: 'request', generation: old })), ['stale', 'send refuse', 'close'])
    assert.deepEqual(types(hear({ type: 'request', generation: { incarnation: 4, counter: 0 } })), ['close', 'send grant'])
  })

  it('aborts everything when the lease is lost, and remembers the generation', () => {
    const { hear, step, worker } = leased()
    hear({ type: 'orders', orders: [order(0), order(1)] })
    assert.deepEqual(types(step({ type: 'lost', generation: first })), ['abort', 'abort'])
    assert.deepEqual(worker.inspect().active, [])
    assert.deepEqual(types(hear({ type: 'request', generation: first })), ['stale', 'send refuse', 'close'])
    assert.deepEqual(types(hear({ type: 'request', generation: second })), ['send grant'])
  })

  it('drains: no new lease, offer or order; done when all is finished and acknowledged', () => {
    const { hear, step } = leased()
    hear({ type: 'orders', orders: [order(0)] })
    step({ type: 'begun', generation: first, attempt: order(0) })
    assert.deepEqual(types(step({ type: 'drain' })), ['send slots'])
    assert.deepEqual(answered(hear({ type: 'orders', orders: [order(1)] })), [[1, 'draining']])
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 5, deadline: 0 } })), ['send refuse-offer'])
    assert.deepEqual(types(step({ type: 'task-order', generation: first, order: order(7, { large: true }) })), ['refuse-task'])
    assert.deepEqual(types(step({ type: 'finished', generation: first, results: [result(0)] })), ['send results'])
    assert.deepEqual(types(hear({ type: 'ack', sequence: 1 })), [])
    assert.deepEqual(types(hear({ type: 'ack', sequence: 2 })), ['drained'])
    assert.deepEqual(types(hear({ type: 'request', generation: second })), ['send refuse', 'close'])
    assert.deepEqual(types(machine().step({ type: 'drain' })), ['drained'])
  })

  it('refuses what is past its deadline by more than clocks may differ', () => {
    const { hear, step } = machine()
    hear({ type: 'request', generation: first })
    const last = 1000 + CLOCK_SKEW_MS
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 1000 } }, first, last + 1)), ['send refuse-offer'])
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 1000 } }, first, last)), ['send accept-offer'])
    assert.deepEqual(answered(hear({ type: 'orders', orders: [order(0)] }, first, last + 1)), [[0, 'expired']])
    const effects = step({ type: 'task-order', generation: first, order: order(1, { large: true }) }, last + 1)
    assert.equal(effects[0]?.type === 'refuse-task' && effects[0].reason, 'expired')
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(2)] }, first, last)), [2])
  })

  it('serves task orders within the same slots', () => {
    const { hear, step } = leased()
    assert.deepEqual(started(step({ type: 'task-order', generation: first, order: order(0, { large: true }) })), [0])
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(1)] })), [1])
    const full = step({ type: 'task-order', generation: first, order: order(2, { large: true }) })
    assert.equal(full[0]?.type === 'refuse-task' && full[0].reason, 'busy')
    assert.deepEqual(types(step({ type: 'task-order', generation: first, order: order(0, { large: true }) })), ['refuse-task'])
    assert.deepEqual(types(step({ type: 'task-order', generation: first, order: order(0, { offer: 8, large: true }) })), ['refuse-task'])
    assert.deepEqual(step({ type: 'task-finished', generation: first, attempt: { offer: 1, block: 0, attempt: 1 } }), [])
    assert.deepEqual(started(step({ type: 'task-order', generation: first, order: order(3, { large: true }) })), [3])
    assert.deepEqual(hear({ type: 'cancel', attempts: [{ offer: 1, block: 3, attempt: 1 }] }), [{ type: 'abort', generation: first, attempt: { offer: 1, block: 3, attempt: 1 }, task: true }])
  })

  it('notices what a requester must not do', () => {
    const { hear } = leased()
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 0 } })), ['violation'])
    assert.deepEqual(types(hear({ type: 'ack', sequence: 5 })), ['violation'])
    hear({ type: 'orders', orders: [order(0)] })
    assert.ok(types(hear({ type: 'orders', orders: [order(0)] })).includes('violation'))
    assert.deepEqual(answered(hear({ type: 'orders', orders: [order(0, { offer: 77 })] })), [[0, 'protocol']])
  })

  it('bounds the jobs on a lease', () => {
    const { hear } = machine()
    hear({ type: 'request', generation: first })
    for (let offer = 100; offer < 100 + OFFERS_MAX; offer++) assert.deepEqual(types(hear({ type: 'offer', offer: { offer, deadline: 0 } })), ['send accept-offer'])
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 0 } })), ['send refuse-offer'])
    hear({ type: 'withdraw', offer: 100 })
    assert.deepEqual(types(hear({ type: 'offer', offer: { offer: 1, deadline: 0 } })), ['send accept-offer'])
  })

  it('drops what still runs for a withdrawn offer, and frees its slots', () => {
    const { hear, step, worker } = leased()
    hear({ type: 'orders', orders: [order(0), order(1)] })
    assert.deepEqual(types(hear({ type: 'withdraw', offer: 1 })), ['abort', 'abort'])
    assert.deepEqual(step({ type: 'finished', generation: first, results: [result(0), result(1)] }), [])
    assert.deepEqual(worker.inspect().active, [])
    hear({ type: 'offer', offer: { offer: 4, deadline: 0 } })
    assert.deepEqual(started(hear({ type: 'orders', orders: [order(0, { offer: 4 }), order(1, { offer: 4 })] })), [0, 1])
  })

  it('tells a change of its slots', () => {
    const { step } = leased()
    assert.deepEqual(step({ type: 'slots', slots: { process: 5, inline: 6 } }), [{ type: 'send', generation: first, message: { type: 'slots', slots: { process: 5, inline: 6 }, draining: false } }])
  })
})
