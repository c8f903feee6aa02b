/** Control messages of a task stream, and the leaves that batch signatures cover. The `.proto` text is in docs/protocol.md. */
import { message, oneOf, type Field } from './codec.ts'
import { ATTEMPT_MAX, BLOCK_BYTES_MAX, BLOCK_MAX, MESSAGE_BYTES_MAX, MS_MAX, NAME_BYTES_MAX, SLICE_BYTES_MAX, TRACE_BYTES_MAX } from './constants.ts'
import { offerCodec, orderCodec, refuseCodec, resultCodec, type Refuse, type WireOffer, type WireOrder, type WireResult } from './messages.ts'

const INTEGER_MAX = Number.MAX_SAFE_INTEGER
const uint = (number: number, max: number): Field => ({ number, type: 'uint', max })
const digest = (number: number): Field => ({ number, type: 'bytes', max: 32, exact: true, required: true })

/** The first message on a task stream. `order.bytes` is empty: the input follows as data. */
export interface TaskOrder {
  type: 'order'
  incarnation: number
  counter: number
  /** Whole, as announced on the lease: a task stream can be understood by itself. */
  offer: WireOffer
  order: WireOrder
  /** Over the order's leaf, a batch of one. */
  signature: Uint8Array
  trace: string
}
export interface TaskAccept { type: 'accept' }
/** The conversion succeeded; `size` bytes of output follow as data. */
export interface TaskOutput { type: 'output', size: number }
/** The last message of the worker. `result.bytes` is empty. */
export interface TaskResult { type: 'result', result: WireResult, signature: Uint8Array, chunks?: Uint8Array }

export type TaskMessage = TaskOrder | TaskAccept | Refuse | TaskOutput | TaskResult

export const taskMessage = oneOf<TaskMessage>('TaskMessage', {
  order: {
    number: 1,
    max: MESSAGE_BYTES_MAX,
    codec: message<Omit<TaskOrder, 'type'>>('TaskOrder', {
      incarnation: uint(1, INTEGER_MAX),
      counter: uint(2, INTEGER_MAX),
      offer: { number: 3, type: 'message', codec: offerCodec, max: MESSAGE_BYTES_MAX, required: true },
      order: { number: 4, type: 'message', codec: orderCodec, max: SLICE_BYTES_MAX + 1024, required: true },
      signature: { number: 5, type: 'bytes', max: 64, exact: true, required: true },
      trace: { number: 6, type: 'string', max: TRACE_BYTES_MAX }
    })
  },
  accept: { number: 2, max: 64, codec: message<Omit<TaskAccept, 'type'>>('TaskAccept', {}) },
  refuse: { number: 3, max: MESSAGE_BYTES_MAX, codec: refuseCodec },
  output: { number: 4, max: 64, codec: message<Omit<TaskOutput, 'type'>>('TaskOutput', { size: uint(1, BLOCK_BYTES_MAX) }) },
  result: {
    number: 5,
    max: MESSAGE_BYTES_MAX,
    codec: message<Omit<TaskResult, 'type'>>('TaskResult', {
      result: { number: 1, type: 'message', codec: resultCodec, max: MESSAGE_BYTES_MAX, required: true },
      signature: { number: 2, type: 'bytes', max: 64, exact: true },
      chunks: { number: 3, type: 'bytes', max: 32, exact: true, optional: true }
    })
  }
})

/** What a requester signs of an order. */
export interface OrderLeaf {
  /** sha2-256 of the Offer message with `offer` = 0. */
  offer: Uint8Array
  block: number
  attempt: number
  size: number
  digest: Uint8Array
  slice?: Uint8Array
}

export const orderLeafCodec = message<OrderLeaf>('OrderLeaf', {
  offer: digest(1),
  block: uint(2, BLOCK_MAX),
  attempt: uint(3, ATTEMPT_MAX),
  size: uint(4, BLOCK_BYTES_MAX),
  digest: digest(5),
  slice: { number: 6, type: 'bytes', max: SLICE_BYTES_MAX, optional: true }
})

/** What a worker signs of a result. */
export interface ReceiptLeaf {
  job: string
  block: number
  attempt: number
  /** sha2-256 of the input. */
  input: Uint8Array
  /** sha2-256 of the output. */
  output: Uint8Array
  size: number
  units?: number
  cpuMs: number
  /** For outputs above 1 MiB: the Merkle root over their 1 MiB chunks. */
  chunks?: Uint8Array
}

export const receiptLeafCodec = message<ReceiptLeaf>('ReceiptLeaf', {
  job: { number: 1, type: 'string', max: NAME_BYTES_MAX },
  block: uint(2, BLOCK_MAX),
  attempt: uint(3, ATTEMPT_MAX),
  input: digest(4),
  output: digest(5),
  size: uint(6, BLOCK_BYTES_MAX),
  units: { number: 7, type: 'uint', max: INTEGER_MAX, optional: true },
  cpuMs: uint(8, MS_MAX),
  chunks: { number: 9, type: 'bytes', max: 32, exact: true, optional: true }
})
