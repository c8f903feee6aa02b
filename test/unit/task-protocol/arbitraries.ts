/** Every kind of message, within its limits. */
import fc from 'fast-check'
import { ATTEMPT_MAX, BLOCK_BYTES_MAX, BLOCK_MAX, INLINE_BYTES_MAX, PROGRESS_MAX, SLOTS_MAX } from '../../../daemon/task-protocol/constants.ts'
import { FAILURES, POOLS, REFUSALS, type LeaseMessage, type WireOffer, type WireOrder, type WireResult } from '../../../daemon/task-protocol/messages.ts'
import type { TaskMessage } from '../../../daemon/task-protocol/task-messages.ts'

const uint = (max: number): fc.Arbitrary<number> => fc.oneof(fc.constantFrom(0, 1, 127, 128, max), fc.maxSafeNat().map(n => n % (max + 1))).map(n => Math.min(n, max))
const integer = uint(Number.MAX_SAFE_INTEGER)
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })
const fixed = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined })

const attempt = { offer: uint(2 ** 32 - 1), block: uint(BLOCK_MAX), attempt: uint(ATTEMPT_MAX) }
const generation = { incarnation: integer, counter: integer }
const refusal = { reason: fc.constantFrom(...REFUSALS), message: text, retryAfterMs: integer }

export const offers: fc.Arbitrary<WireOffer> = fc.record({
  offer: uint(2 ** 32 - 1), job: text, converter: text, version: text, parameters: bytes(200), deadline: integer, outputBytes: uint(BLOCK_BYTES_MAX), price: text, unit: text
})

export const orders: fc.Arbitrary<WireOrder> = fc.record({ ...attempt, size: uint(BLOCK_BYTES_MAX), digest: fixed(32), slice: optional(bytes(30)), bytes: bytes(300) })

const failures = fc.record({ reason: fc.constantFrom(...FAILURES), message: text, code: text, details: optional(bytes(30)), retryAfterMs: integer })

export const results: fc.Arbitrary<WireResult> = fc.record({
  ...attempt,
  digest: fc.oneof(fixed(32), fc.constant(new Uint8Array(0))),
  size: uint(BLOCK_BYTES_MAX),
  bytes: bytes(300),
  units: optional(integer),
  cpuMs: integer,
  wallMs: integer,
  failure: optional(failures)
})

const of = <T extends string, M extends object>(type: T, fields: { [K in keyof M]: fc.Arbitrary<M[K]> }): fc.Arbitrary<M & { type: T }> =>
  fc.record(fields).map(value => ({ ...value, type }) as M & { type: T })

export const leaseMessages: fc.Arbitrary<LeaseMessage> = fc.oneof<fc.Arbitrary<any>[]>(
  of('request', generation),
  of('grant', { ...generation, processSlots: uint(SLOTS_MAX), inlineSlots: uint(SLOTS_MAX), heartbeatMs: integer, inlineBytes: uint(INLINE_BYTES_MAX) }),
  of('refuse', refusal),
  offers.map(offer => ({ ...offer, type: 'offer' })),
  of('accept-offer', { offer: uint(2 ** 32 - 1), pool: fc.constantFrom(...POOLS) }),
  of('refuse-offer', { offer: uint(2 ** 32 - 1), ...refusal }),
  of('withdraw', { offer: uint(2 ** 32 - 1) }),
  of('orders', { orders: fc.array(orders, { maxLength: 6 }), signature: fixed(64) }),
  of('results', { sequence: integer, results: fc.array(results, { maxLength: 6 }), signature: fc.oneof(fixed(64), fc.constant(new Uint8Array(0))) }),
  of('ack', { sequence: integer }),
  of('cancel', { attempts: fc.array(fc.record(attempt), { maxLength: 6 }) }),
  of('slots', { processSlots: uint(SLOTS_MAX), inlineSlots: uint(SLOTS_MAX), draining: fc.boolean() }),
  of('beat', { sequence: integer, active: uint(SLOTS_MAX), loopDelayMs: integer, progress: fc.array(fc.record({ ...attempt, done: integer }), { maxLength: Math.min(6, PROGRESS_MAX) }) }),
  of('beacon', { port: uint(65535), id: fixed(8), key: fixed(32) })
)

export const taskMessages: fc.Arbitrary<TaskMessage> = fc.oneof<fc.Arbitrary<any>[]>(
  of('order', { ...generation, offer: offers, order: orders, signature: fixed(64), trace: fc.string({ unit: fc.constantFrom(...'0123456789abcdef-'), maxLength: 55 }) }),
  fc.constant({ type: 'accept' }),
  of('refuse', refusal),
  of('output', { size: uint(BLOCK_BYTES_MAX) }),
  of('result', { result: results, signature: fc.oneof(fixed(64), fc.constant(new Uint8Array(0))), chunks: optional(fixed(32)) })
)
