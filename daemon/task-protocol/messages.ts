/** Messages of the lease stream and their codecs. The `.proto` text is in docs/protocol.md; the two must agree. */
import { message, oneOf, type Codec, type Field } from './codec.ts'
import {
  ACTIVE_MAX, ATTEMPT_MAX, BATCH_MAX, BEACON_ID_BYTES, BEACON_KEY_BYTES, BLOCK_BYTES_MAX, BLOCK_MAX, CANCEL_MAX, DETAILS_BYTES_MAX, FRAME_BYTES_MAX, INLINE_BYTES_MAX, MS_MAX,
  NAME_BYTES_MAX, PARAMETERS_BYTES_MAX, PORT_MAX, PROGRESS_MAX, SLICE_BYTES_MAX, SLOTS_MAX, TEXT_BYTES_MAX
} from './constants.ts'
import type { Pool, RefusalReason } from './lease-model.ts'

const INTEGER_MAX = Number.MAX_SAFE_INTEGER
const OFFER_MAX = 2 ** 32 - 1

export const POOLS: readonly Pool[] = ['process', 'inline']

export const REFUSALS: readonly RefusalReason[] = ['busy', 'draining', 'policy', 'unsupported', 'expired', 'protocol']

/** Why an order gave no result. `needs-stream`: the output is too large for the lease. */
export const FAILURES = [
  'busy', 'draining', 'policy', 'unsupported', 'expired', 'protocol',
  'crash', 'hang', 'out-of-memory', 'output-limit', 'unavailable', 'conversion', 'transfer', 'cancelled', 'needs-stream'
] as const
export type WireFailureReason = typeof FAILURES[number]

export interface GenerationFields { incarnation: number, counter: number }

export interface WireOffer {
  offer: number
  job: string
  converter: string
  version: string
  /** DAG-CBOR. */
  parameters: Uint8Array
  deadline: number
  outputBytes: number
  price: string
  unit: string
}

export interface WireAttempt { offer: number, block: number, attempt: number }

export interface WireOrder extends WireAttempt {
  size: number
  digest: Uint8Array
  /** DAG-CBOR. */
  slice?: Uint8Array
  bytes: Uint8Array
}

export interface WireFailure {
  reason: WireFailureReason
  message: string
  code: string
  /** DAG-CBOR of a map. */
  details?: Uint8Array
  retryAfterMs: number
}

export interface WireResult extends WireAttempt {
  digest: Uint8Array
  size: number
  bytes: Uint8Array
  units?: number
  cpuMs: number
  wallMs: number
  failure?: WireFailure
}

export interface WireProgress extends WireAttempt { done: number }

export interface Request extends GenerationFields { type: 'request' }
export interface Grant extends GenerationFields { type: 'grant', processSlots: number, inlineSlots: number, heartbeatMs: number, inlineBytes: number }
export interface Refuse { type: 'refuse', reason: RefusalReason, message: string, retryAfterMs: number }
export interface OfferMessage extends WireOffer { type: 'offer' }
export interface AcceptOffer { type: 'accept-offer', offer: number, pool: Pool }
export interface RefuseOffer { type: 'refuse-offer', offer: number, reason: RefusalReason, message: string, retryAfterMs: number }
export interface Withdraw { type: 'withdraw', offer: number }
export interface Orders { type: 'orders', orders: WireOrder[], signature: Uint8Array }
export interface Results { type: 'results', sequence: number, results: WireResult[], signature: Uint8Array }
export interface Ack { type: 'ack', sequence: number }
export interface Cancel { type: 'cancel', attempts: WireAttempt[] }
export interface SlotsMessage { type: 'slots', processSlots: number, inlineSlots: number, draining: boolean }
export interface BeatMessage { type: 'beat', sequence: number, active: number, loopDelayMs: number, progress: WireProgress[] }
/** How to send UDP beacons to the sender of this message. */
export interface BeaconMessage { type: 'beacon', port: number, id: Uint8Array, key: Uint8Array }

export type LeaseMessage =
  | Request | Grant | Refuse | OfferMessage | AcceptOffer | RefuseOffer | Withdraw | Orders | Results | Ack | Cancel | SlotsMessage | BeatMessage | BeaconMessage

const uint = (number: number, max: number): Field => ({ number, type: 'uint', max })
const name = (number: number): Field => ({ number, type: 'string', max: NAME_BYTES_MAX })
const text = (number: number): Field => ({ number, type: 'string', max: TEXT_BYTES_MAX })
const fixed = (number: number, max: number): Field => ({ number, type: 'bytes', max, exact: true })
const refusal = (number: number): Field => ({ number, type: 'enum', values: REFUSALS, required: true })

const attemptFields = { offer: uint(1, OFFER_MAX), block: uint(2, BLOCK_MAX), attempt: uint(3, ATTEMPT_MAX) }
const generationFields = { incarnation: uint(1, INTEGER_MAX), counter: uint(2, INTEGER_MAX) }

export const attemptCodec = message<WireAttempt>('Attempt', attemptFields)

export const offerCodec = message<WireOffer>('Offer', {
  offer: uint(1, OFFER_MAX),
  job: name(2),
  converter: name(3),
  version: name(4),
  parameters: { number: 5, type: 'bytes', max: PARAMETERS_BYTES_MAX },
  deadline: uint(6, MS_MAX),
  outputBytes: uint(7, BLOCK_BYTES_MAX),
  price: name(8),
  unit: name(9)
})

export const orderCodec = message<WireOrder>('Order', {
  ...attemptFields,
  size: uint(4, BLOCK_BYTES_MAX),
  digest: { ...fixed(5, 32), required: true },
  slice: { number: 6, type: 'bytes', max: SLICE_BYTES_MAX, optional: true },
  bytes: { number: 7, type: 'bytes', max: INLINE_BYTES_MAX }
})

export const failureCodec = message<WireFailure>('Failure', {
  reason: { number: 1, type: 'enum', values: FAILURES, required: true },
  message: text(2),
  code: name(3),
  details: { number: 4, type: 'bytes', max: DETAILS_BYTES_MAX, optional: true },
  retryAfterMs: uint(5, MS_MAX)
})

export const resultCodec = message<WireResult>('Result', {
  ...attemptFields,
  digest: fixed(4, 32),
  size: uint(5, BLOCK_BYTES_MAX),
  bytes: { number: 6, type: 'bytes', max: INLINE_BYTES_MAX },
  units: { number: 7, type: 'uint', max: INTEGER_MAX, optional: true },
  cpuMs: uint(8, MS_MAX),
  wallMs: uint(9, MS_MAX),
  failure: { number: 10, type: 'message', codec: failureCodec, max: TEXT_BYTES_MAX + DETAILS_BYTES_MAX + NAME_BYTES_MAX + 64, optional: true }
})

const progressCodec = message<WireProgress>('Progress', { ...attemptFields, done: uint(4, INTEGER_MAX) })

const ENTRY_BYTES_MAX = INLINE_BYTES_MAX + SLICE_BYTES_MAX + TEXT_BYTES_MAX + DETAILS_BYTES_MAX + 1024
const SMALL_BYTES_MAX = TEXT_BYTES_MAX + 256

type Body<M extends { type: string }> = Omit<M, 'type'>

export const grantCodec: Codec<Body<Grant>> = message<Body<Grant>>('Grant', {
  ...generationFields,
  processSlots: uint(3, SLOTS_MAX),
  inlineSlots: uint(4, SLOTS_MAX),
  heartbeatMs: uint(5, MS_MAX),
  inlineBytes: uint(6, INLINE_BYTES_MAX)
})

export const refuseCodec = message<Body<Refuse>>('Refuse', { reason: refusal(1), message: text(2), retryAfterMs: uint(3, MS_MAX) })

/** Everything that crosses a lease stream, one per frame. */
export const leaseMessage = oneOf<LeaseMessage>('LeaseMessage', {
  request: { number: 1, max: SMALL_BYTES_MAX, codec: message<Body<Request>>('Request', generationFields) },
  grant: { number: 2, max: SMALL_BYTES_MAX, codec: grantCodec },
  refuse: { number: 3, max: SMALL_BYTES_MAX, codec: refuseCodec },
  offer: { number: 4, max: PARAMETERS_BYTES_MAX + 8 * NAME_BYTES_MAX, codec: offerCodec },
  'accept-offer': {
    number: 5,
    max: SMALL_BYTES_MAX,
    codec: message<Body<AcceptOffer>>('AcceptOffer', { offer: uint(1, OFFER_MAX), pool: { number: 2, type: 'enum', values: POOLS, required: true } })
  },
  'refuse-offer': {
    number: 6,
    max: SMALL_BYTES_MAX,
    codec: message<Body<RefuseOffer>>('RefuseOffer', { offer: uint(1, OFFER_MAX), reason: refusal(2), message: text(3), retryAfterMs: uint(4, MS_MAX) })
  },
  withdraw: { number: 7, max: SMALL_BYTES_MAX, codec: message<Body<Withdraw>>('Withdraw', { offer: uint(1, OFFER_MAX) }) },
  orders: {
    number: 8,
    max: FRAME_BYTES_MAX,
    codec: message<Body<Orders>>('Orders', {
      orders: { number: 1, type: 'message', codec: orderCodec, max: ENTRY_BYTES_MAX, repeated: BATCH_MAX },
      signature: { ...fixed(2, 64), required: true }
    })
  },
  results: {
    number: 9,
    max: FRAME_BYTES_MAX,
    codec: message<Body<Results>>('Results', {
      sequence: uint(1, INTEGER_MAX),
      results: { number: 2, type: 'message', codec: resultCodec, max: ENTRY_BYTES_MAX, repeated: BATCH_MAX },
      signature: fixed(3, 64)
    })
  },
  ack: { number: 10, max: SMALL_BYTES_MAX, codec: message<Body<Ack>>('Ack', { sequence: uint(1, INTEGER_MAX) }) },
  cancel: {
    number: 11,
    max: FRAME_BYTES_MAX,
    codec: message<Body<Cancel>>('Cancel', { attempts: { number: 1, type: 'message', codec: attemptCodec, max: 64, repeated: CANCEL_MAX } })
  },
  slots: {
    number: 12,
    max: SMALL_BYTES_MAX,
    codec: message<Body<SlotsMessage>>('Slots', { processSlots: uint(1, SLOTS_MAX), inlineSlots: uint(2, SLOTS_MAX), draining: { number: 3, type: 'bool' } })
  },
  beat: {
    number: 13,
    max: 64 * PROGRESS_MAX + 256,
    codec: message<Body<BeatMessage>>('Beat', {
      sequence: uint(1, INTEGER_MAX),
      active: uint(2, ACTIVE_MAX),
      loopDelayMs: uint(3, MS_MAX),
      progress: { number: 4, type: 'message', codec: progressCodec, max: 64, repeated: PROGRESS_MAX }
    })
  },
  beacon: {
    number: 14,
    max: SMALL_BYTES_MAX,
    codec: message<Body<BeaconMessage>>('Beacon', {
      port: uint(1, PORT_MAX),
      id: { ...fixed(2, BEACON_ID_BYTES), required: true },
      key: { ...fixed(3, BEACON_KEY_BYTES), required: true }
    })
  }
})
