import assert from 'node:assert/strict'
import { BATCH_BYTES, CANCEL_ANSWER_MS, OFFERS_MAX, QUEUED_ORDERS_MAX, SLOTS_MAX, TASKS_MAX } from '../../../daemon/task-protocol/constants.ts'
import { createLeaseRequester } from '../../../daemon/task-protocol/lease-requester.ts'
import type { LeaseFault, OfferRef, OrderRef, ResultRef, Slots, WorkerMessage } from '../../../daemon/task-protocol/lease-model.ts'
import type { RequesterEffect, RequesterEvent } from '../../../daemon/task-protocol/lease-requester-events.ts'

type Effect = RequesterEffect<OrderRef, ResultRef, OfferRef>
const generation = { incarnation: 3, counter: 1 }
const order = (offer: number, block: number, fields: Partial<OrderRef> = {}): OrderRef => ({ offer, block, attempt: 1, weight: 10, large: false, ...fields })
const result = (offer: number, block: number, fields: Partial<ResultRef> = {}): ResultRef => ({ offer, block, attempt: 1, ok: true, weight: 10, ...fields })

function leased (slots: Slots = { process: 2, inline: 4 }, faults?: ReadonlySet<LeaseFault>, windowBytes?: number) {
  const machine = createLeaseRequester<OrderRef, ResultRef>({ faults, windowBytes })
  let sequence = 0
  const step = (event: RequesterEvent<OrderRef, ResultRef, OfferRef>, now = 0): Effect[] => machine.step(event, now)
  const hear = (message: WorkerMessage<ResultRef>, now = 0): Effect[] => step({ type: 'message', generation, message }, now)
  const offer = (number: number, pool: 'process' | 'inline' = 'process'): void => {
    step({ type: 'offer', offer: { offer: number, deadline: 0 } })
    hear({ type: 'accept-offer', offer: number, pool })
  }
  const results = (list: ResultRef[], now = 0): Effect[] => hear({ type: 'results', sequence: ++sequence, results: list }, now)
  step({ type: 'open', generation })
  hear({ type: 'grant', generation, slots })
  return { machine, step, hear, offer, results }
}

const sent = (effects: Effect[]): number[] => effects.flatMap(effect => effect.type === 'send' && effect.message.type === 'orders' ? effect.message.orders.map(({ block }) => block) : [])
const opened = (effects: Effect[]): number[] => effects.flatMap(effect => effect.type === 'open-task' ? [effect.order.block] : [])
const types = (effects: Effect[]): string[] => effects.map(effect => effect.type === 'send' ? `send ${effect.message.type}` : effect.type)

describe('lease requester', () => {
  it('asks for a lease, announces offers once granted, sends orders once accepted', () => {
    const machine = createLeaseRequester<OrderRef, ResultRef>()
    assert.deepEqual(types(machine.step({ type: 'open', generation }, 0)), ['send request'])
    assert.deepEqual(machine.step({ type: 'offer', offer: { offer: 1, deadline: 0 } }, 0), [])
    assert.deepEqual(types(machine.step({ type: 'message', generation, message: { type: 'grant', generation, slots: { process: 1, inline: 1 } } }, 0)), ['granted', 'send offer'])
    assert.deepEqual(machine.step({ type: 'orders', offer: 1, orders: [order(1, 0)] }, 0), [])
    assert.deepEqual(types(machine.step({ type: 'message', generation, message: { type: 'accept-offer', offer: 1, pool: 'inline' } }, 0)), ['offer-accepted', 'send orders'])
  })

  it('keeps to the credits of each place, and acknowledges before it orders', () => {
    const { step, offer, results, machine } = leased()
    offer(1, 'process')
    offer(2, 'inline')
    assert.deepEqual(sent(step({ type: 'orders', offer: 1, orders: [0, 1, 2, 3].map(block => order(1, block)) })), [0, 1])
    assert.deepEqual(sent(step({ type: 'orders', offer: 2, orders: [10, 11, 12, 13, 14].map(block => order(2, block)) })), [10, 11, 12, 13])
    assert.deepEqual(machine.inspect().credits, { process: 0, inline: 0 })
    const effects = results([result(1, 0)])
    assert.deepEqual(types(effects), ['send ack', 'outcomes', 'send orders'])
    assert.deepEqual(sent(effects), [2])
  })

  it('lets jobs take turns', () => {
    const { step, offer, results } = leased({ process: 2, inline: 0 })
    offer(1)
    offer(2)
    step({ type: 'orders', offer: 1, orders: [0, 1, 2, 3, 4, 5].map(block => order(1, block)) })
    step({ type: 'orders', offer: 2, orders: [100, 101, 102].map(block => order(2, block)) })
    const seen: number[] = []
    seen.push(...sent(results([result(1, 0), result(1, 1)])))
    seen.push(...sent(results([result(2, 100), result(1, 2)])))
    assert.deepEqual(seen, [100, 2, 101, 3])
  })

  it('keeps to the byte window, but never holds back a single order', () => {
    const { step, offer, results, machine } = leased({ process: 10, inline: 0 }, undefined, 100)
    offer(1)
    assert.deepEqual(sent(step({ type: 'orders', offer: 1, orders: [order(1, 0, { weight: 60 }), order(1, 1, { weight: 50 }), order(1, 2, { weight: 0 })] })), [0])
    assert.deepEqual(sent(results([result(1, 0)])), [1, 2])
    assert.equal(machine.inspect().bytes, 50)
    results([result(1, 1), result(1, 2)])
    assert.deepEqual(sent(step({ type: 'orders', offer: 1, orders: [order(1, 3, { weight: 500 })] })), [3])
  })

  it('cuts batches by bytes', () => {
    const { step, offer } = leased({ process: 100, inline: 0 })
    offer(1)
    const weight = BATCH_BYTES / 2
    const effects = step({ type: 'orders', offer: 1, orders: [0, 1, 2].map(block => order(1, block, { weight })) })
    assert.deepEqual(effects.map(effect => effect.type === 'send' && effect.message.type === 'orders' ? effect.message.orders.length : 0), [2, 1])
  })

  it('opens task streams up to their limit, and the next when one is settled', () => {
    const { step, offer, results, machine } = leased({ process: TASKS_MAX + 10, inline: 0 })
    offer(1)
    const effects = step({ type: 'orders', offer: 1, orders: Array.from({ length: TASKS_MAX + 2 }, (_, block) => order(1, block, { large: true, weight: 0 })) })
    assert.equal(opened(effects).length, TASKS_MAX)
    assert.deepEqual(opened(step({ type: 'task-settled', generation, result: result(1, 0) })), [TASKS_MAX])
    // a small order whose output is too large needs a stream, too, and waits with its credit
    step({ type: 'cancel', attempts: [{ offer: 1, block: TASKS_MAX + 1, attempt: 1 }] })
    step({ type: 'orders', offer: 1, orders: [order(1, 500), order(1, 501)] })
    assert.deepEqual(opened(results([result(1, 500, { ok: false, reason: 'needs-stream' }), result(1, 501, { ok: false, reason: 'needs-stream' })])), [])
    assert.equal(machine.inspect().bytes, 0)
    const cancelled = step({ type: 'cancel', attempts: [{ offer: 1, block: 501, attempt: 1 }] })
    assert.deepEqual(types(cancelled), ['failed'])
    assert.deepEqual(opened(step({ type: 'task-settled', generation, result: result(1, 1) })), [500])
    assert.equal(machine.inspect().credits.process, 10)
  })

  it('resends on a task stream what answered needs-stream, keeping its credit', () => {
    const { step, offer, results, machine } = leased()
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0)] })
    const effects = results([result(1, 0, { ok: false, reason: 'needs-stream' })])
    assert.deepEqual(types(effects), ['send ack', 'open-task'])
    assert.equal(machine.inspect().credits.process, 1)
    assert.deepEqual(types(step({ type: 'task-settled', generation, result: result(1, 0) })), ['outcomes'])
    assert.deepEqual(machine.inspect().credits, { process: 2, inline: 4 })
  })

  it('drops a cancelled order that waits, forwards the cancel of one that runs', () => {
    const { step, offer, results } = leased({ process: 1, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1)] })
    const effects = step({ type: 'cancel', attempts: [{ offer: 1, block: 0, attempt: 1 }, { offer: 1, block: 1, attempt: 1 }, { offer: 1, block: 9, attempt: 1 }, { offer: 9, block: 0, attempt: 1 }] })
    assert.deepEqual(types(effects), ['send cancel', 'failed'])
    assert.deepEqual(step({ type: 'cancel', attempts: [{ offer: 1, block: 0, attempt: 1 }] }), [])
    assert.deepEqual(types(results([result(1, 0, { ok: false, reason: 'cancelled' })])), ['send ack', 'outcomes'])
  })

  it('tells a job by itself when a worker does not confirm a cancel, and keeps the credit until it does', () => {
    const { step, offer, results, machine } = leased({ process: 1, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0)] })
    step({ type: 'cancel', attempts: [{ offer: 1, block: 0, attempt: 1 }] }, 1000)
    assert.deepEqual(step({ type: 'tick' }, 999 + CANCEL_ANSWER_MS), [])
    assert.deepEqual(types(step({ type: 'tick' }, 1000 + CANCEL_ANSWER_MS)), ['failed'])
    assert.deepEqual(step({ type: 'tick' }, 9000 + CANCEL_ANSWER_MS), [])
    assert.equal(machine.inspect().credits.process, 0)
    assert.deepEqual(types(results([result(1, 0)])), ['send ack', 'untold'])
    assert.equal(machine.inspect().credits.process, 1)
  })

  it('withdraws an offer once its last attempt is settled, and tells the job nothing more', () => {
    const { step, offer, results, machine } = leased({ process: 1, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1)] })
    assert.deepEqual(types(step({ type: 'withdraw', offer: 1 })), ['send cancel'])
    assert.ok(machine.has(1))
    assert.deepEqual(types(results([result(1, 0, { ok: false, reason: 'cancelled' })])), ['send ack', 'send withdraw'])
    assert.ok(!machine.has(1))
    assert.equal(machine.inspect().credits.process, 1)
  })

  it('gives up a good result whose job has left', () => {
    const { step, offer, results } = leased({ process: 2, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1, { large: true })] })
    step({ type: 'withdraw', offer: 1 })
    const large = step({ type: 'task-settled', generation, result: result(1, 1) })
    assert.deepEqual(large, [{ type: 'untold', result: result(1, 1) }])
    assert.deepEqual(types(results([result(1, 0)])), ['send ack', 'send withdraw', 'untold'])
  })

  it('loses everything with the lease, once', () => {
    const { step, offer, machine } = leased()
    offer(1)
    offer(2)
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1), order(1, 2)] })
    assert.deepEqual(step({ type: 'lost', generation, reason: 'silent for 5000 ms' }), [{ type: 'lost', reason: 'silent for 5000 ms', offers: [1, 2] }])
    assert.deepEqual(step({ type: 'lost', generation, reason: 'again' }), [])
    assert.deepEqual(machine.inspect().outstanding, [])
    assert.deepEqual(types(step({ type: 'orders', offer: 1, orders: [order(1, 5)] })), ['failed'])
  })

  it('passes on a result of an older lease as late, and ignores its control messages', () => {
    const { step } = leased()
    const newer = { incarnation: 3, counter: 2 }
    step({ type: 'lost', generation, reason: 'closed' })
    step({ type: 'open', generation: newer })
    const late = step({ type: 'message', generation, message: { type: 'results', sequence: 1, results: [result(1, 0)] } })
    assert.deepEqual(types(late), ['late'])
    assert.deepEqual(types(step({ type: 'message', generation, message: { type: 'slots', slots: { process: 9, inline: 9 }, draining: false } })), ['stale'])
    assert.deepEqual(types(step({ type: 'message', generation, message: { type: 'grant', generation, slots: { process: 9, inline: 9 } } })), ['stale'])
    assert.deepEqual(types(step({ type: 'task-settled', generation, result: result(1, 1) })), ['late'])
  })

  it('refuses to go back to an older generation of its own', () => {
    const { step } = leased()
    for (const old of [generation, { incarnation: 2, counter: 99 }]) assert.deepEqual(types(step({ type: 'open', generation: old })), ['violation'])
    assert.deepEqual(types(step({ type: 'open', generation: { incarnation: 4, counter: 0 } })), ['lost', 'send request'])
  })

  it('notices what a worker must not do', () => {
    const { hear, offer, step } = leased()
    offer(1)
    assert.deepEqual(types(hear({ type: 'grant', generation, slots: { process: 1, inline: 1 } })), ['violation'])
    assert.deepEqual(types(hear({ type: 'accept-offer', offer: 1, pool: 'inline' })), ['violation'])
    assert.deepEqual(types(hear({ type: 'results', sequence: 7, results: [] })), ['violation'])
    assert.deepEqual(types(hear({ type: 'results', sequence: 1, results: [result(1, 77)] })), ['send ack', 'late'])
    step({ type: 'orders', offer: 1, orders: [order(1, 0)] })
    assert.deepEqual(types(hear({ type: 'results', sequence: 2, results: [result(1, 0), result(1, 0)] })), ['send ack', 'late', 'outcomes'])
  })

  it('calls it a violation to refuse an offer that was accepted; its orders stay on the books until the lease is lost', () => {
    const { step, hear, offer, machine } = leased({ process: 2, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1), order(1, 2)] })
    const refusal = { type: 'refuse-offer', offer: 1, reason: 'busy', message: 'no more', retryAfterMs: 0 } as const
    assert.deepEqual(types(hear(refusal)), ['violation'])
    const { outstanding, queued, credits } = machine.inspect()
    assert.deepEqual([outstanding.length, queued, credits.process], [2, 1, 0])
    assert.deepEqual(step({ type: 'lost', generation, reason: 'violation' }), [{ type: 'lost', reason: 'violation', offers: [1] }])
    // also once it was withdrawn, while attempts of it run
    const other = leased({ process: 2, inline: 0 })
    other.offer(1)
    other.step({ type: 'orders', offer: 1, orders: [order(1, 0)] })
    other.step({ type: 'withdraw', offer: 1 })
    assert.deepEqual(types(other.hear(refusal)), ['violation'])
    assert.deepEqual(types(other.results([result(1, 0, { ok: false, reason: 'cancelled' })])), ['send ack', 'send withdraw'])
    assert.equal(other.machine.inspect().credits.process, 2)
  })

  it('gives orders that waited for an answer back when the answer is no', () => {
    const refusal = { reason: 'policy', message: 'no', retryAfterMs: 0 } as const
    const { step, hear } = leased()
    step({ type: 'offer', offer: { offer: 1, deadline: 0 } })
    step({ type: 'orders', offer: 1, orders: [order(1, 0), order(1, 1)] })
    const effects = hear({ type: 'refuse-offer', offer: 1, ...refusal })
    assert.deepEqual(types(effects), ['failed', 'offer-refused'])
    assert.equal(effects[0]?.type === 'failed' && effects[0].orders.length, 2)
    assert.deepEqual(hear({ type: 'refuse-offer', offer: 1, ...refusal }), [])
    const machine = createLeaseRequester<OrderRef, ResultRef>()
    machine.step({ type: 'open', generation }, 0)
    machine.step({ type: 'offer', offer: { offer: 1, deadline: 0 } }, 0)
    machine.step({ type: 'orders', offer: 1, orders: [order(1, 0)] }, 0)
    assert.deepEqual(types(machine.step({ type: 'message', generation, message: { type: 'refuse', ...refusal } }, 0)), ['failed', 'refused'])
  })

  it('does not believe more slots than there may be', () => {
    const { machine } = leased({ process: 1e9, inline: 1e9 })
    assert.deepEqual(machine.inspect().slots, { process: SLOTS_MAX, inline: SLOTS_MAX })
  })

  it('follows a drain: sends nothing more, waits for what runs', () => {
    const { step, hear, offer, results } = leased({ process: 2, inline: 0 })
    offer(1)
    step({ type: 'orders', offer: 1, orders: [0, 1, 2].map(block => order(1, block)) })
    assert.deepEqual(hear({ type: 'slots', slots: { process: 0, inline: 0 }, draining: true }), [
      { type: 'slots', offer: 1, slots: 0 },
      { type: 'failed', offer: 1, orders: [order(1, 2)], reason: 'draining', message: 'the worker takes no new work' }
    ])
    assert.deepEqual(types(step({ type: 'orders', offer: 1, orders: [order(1, 3)] })), ['failed'], 'one that comes later does not wait either')
    assert.deepEqual(types(results([result(1, 0), result(1, 1)])), ['send ack', 'outcomes'])
    hear({ type: 'slots', slots: { process: 1, inline: 0 }, draining: false })
    assert.deepEqual(sent(step({ type: 'orders', offer: 1, orders: [order(1, 2)] })), [2])
  })

  it('gives back what waits for a stream when the worker drains, and believes no refusal older than its resumption', () => {
    const { machine, step, hear, offer } = leased({ process: TASKS_MAX + 2, inline: 0 })
    offer(1)
    const effects = step({ type: 'orders', offer: 1, orders: Array.from({ length: TASKS_MAX + 1 }, (_, block) => order(1, block, { large: true })) })
    assert.equal(effects.filter(({ type }) => type === 'open-task').length, TASKS_MAX)
    const drained = hear({ type: 'slots', slots: { process: 0, inline: 0 }, draining: true })
    assert.deepEqual(drained.flatMap(effect => effect.type === 'failed' ? effect.orders.map(({ block }) => [block, effect.reason]) : []), [[TASKS_MAX, 'draining']])
    hear({ type: 'slots', slots: { process: TASKS_MAX + 2, inline: 0 }, draining: false })
    const refused = result(1, 0, { ok: false, reason: 'draining' })
    assert.deepEqual(step({ type: 'task-settled', generation, result: refused }).slice(0, 2), [{ type: 'outcomes', offer: 1, results: [refused] }, { type: 'slots', offer: 1, slots: TASKS_MAX + 2 }])
    for (let block = 1; block < TASKS_MAX; block++) step({ type: 'task-settled', generation, result: result(1, block) })
    assert.deepEqual(machine.inspect().credits, { process: TASKS_MAX + 2, inline: 0 })
    step({ type: 'orders', offer: 1, orders: [order(1, 100, { large: true })] })
    assert.deepEqual(types(step({ type: 'task-settled', generation, result: result(1, 100, { ok: false, reason: 'draining' }) })), ['outcomes'], 'one that left later is believed')
  })

  it('bounds what waits, and how many jobs there are', () => {
    const { step, offer } = leased({ process: 0, inline: 0 })
    offer(1)
    const effects = step({ type: 'orders', offer: 1, orders: Array.from({ length: QUEUED_ORDERS_MAX + 3 }, (_, block) => order(1, block)) })
    assert.deepEqual(effects.map(effect => effect.type === 'failed' ? [effect.reason, effect.orders.length] : effect.type), [['busy', 3]])
    for (let number = 2; number <= OFFERS_MAX; number++) offer(number)
    assert.deepEqual(types(step({ type: 'offer', offer: { offer: 999, deadline: 0 } })), ['offer-refused'])
    assert.deepEqual(types(step({ type: 'offer', offer: { offer: 1, deadline: 0 } })), ['offer-refused'])
  })

  it('is refused as a whole, or offer by offer', () => {
    const machine = createLeaseRequester<OrderRef, ResultRef>()
    machine.step({ type: 'open', generation }, 0)
    machine.step({ type: 'offer', offer: { offer: 1, deadline: 0 } }, 0)
    const refusal = { reason: 'busy', message: 'full', retryAfterMs: 5 } as const
    assert.deepEqual(machine.step({ type: 'message', generation, message: { type: 'refuse', ...refusal } }, 0), [{ type: 'refused', ...refusal }])
    const { step, hear } = leased()
    step({ type: 'offer', offer: { offer: 1, deadline: 0 } })
    assert.deepEqual(types(hear({ type: 'refuse-offer', offer: 1, ...refusal })), ['offer-refused'])
    assert.deepEqual(types(hear({ type: 'refuse', ...refusal })), ['lost'])
  })
})
