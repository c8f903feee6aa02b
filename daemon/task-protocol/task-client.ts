/** One attempt on a stream of its own, from the requester's side: the order, the input, the output into the store. */
import type { Connection } from '@libp2p/interface'
import { chunkedLeaf, type BatchSigner } from '../trust/index.ts'
import { StoreFullError, type BlockStore, type StoredBlock } from '../store/index.ts'
import type { ClientOrder } from './client-types.ts'
import { ATTACH_TIMEOUT_MS, LEAF_CHUNK_BYTES, TASK_STREAMS_MAX } from './constants.ts'
import { TransferError } from './errors.ts'
import type { AttemptOutcome } from './index.ts'
import type { Generation } from './lease-model.ts'
import type { WireOffer } from './messages.ts'
import { failed, failureOutcome } from './outcome.ts'
import { openReceipt, orderLeaf, receiptLeaf, signOrders } from './receipts.ts'
import { taskMessage, type TaskMessage, type TaskResult } from './task-messages.ts'
import { Transfer, type Flow } from './transfer.ts'

export interface TaskAttempt {
  connection: Connection
  protocol: string
  generation: Generation
  offer: WireOffer
  offerDigest: Uint8Array
  order: ClientOrder
  signer: BatchSigner
  /** Raw Ed25519 key of the worker. */
  workerKey: Uint8Array
  store: Pick<BlockStore, 'sink'>
  creditBytes?: number
  stallMs?: number
  /** Milliseconds for the worker to accept or refuse. @default ATTACH_TIMEOUT_MS */
  answerMs?: number
  /** Any byte arrived: a sign of life of the worker. */
  onBytes: () => void
  signal: AbortSignal
}

/** Runs the attempt to its outcome. Never rejects. */
export async function runTask (task: TaskAttempt): Promise<AttemptOutcome> {
  const { order, signal } = task
  let transfer: Transfer | undefined
  try {
    const opening = AbortSignal.any([signal, AbortSignal.timeout(ATTACH_TIMEOUT_MS)])
    const stream = await task.connection.newStream(task.protocol, { signal: opening, maxOutboundStreams: TASK_STREAMS_MAX })
    transfer = new Transfer(stream, { connection: task.connection, creditBytes: task.creditBytes, stallMs: task.stallMs, onBytes: task.onBytes })
    const outcome = await converse(task, transfer)
    if (outcome.ok) {
      await transfer.close()
      transfer.discard()
    } else {
      transfer.abort(new TransferError('aborted', outcome.message)) // a worker that is still at it stops
    }
    return outcome
  } catch (error) {
    const failure = asTransferError(error)
    transfer?.abort(failure)
    if (signal.aborted) return failed(order, 'cancelled', 'cancelled')
    const cause = error instanceof TransferError ? error.cause : error
    if (cause instanceof StoreFullError) return failed(order, 'store', cause.message)
    return failed(order, failure.code === 'protocol' ? 'protocol' : 'transfer', failure.message)
  }
}

async function converse (task: TaskAttempt, transfer: Transfer): Promise<AttemptOutcome> {
  const { order, signal } = task
  transfer.sendMessage(taskMessage.encode(orderMessage(task)))
  // the worker decides at once; one that says nothing but keeps beating would hold the block for as long as an attempt may take
  const answer = await read(transfer, AbortSignal.any([signal, AbortSignal.timeout(task.answerMs ?? ATTACH_TIMEOUT_MS)]))
  if (answer.type === 'refuse') return failureOutcome(order, { reason: answer.reason, message: answer.message, code: '', retryAfterMs: answer.retryAfterMs })
  if (answer.type !== 'accept') throw unexpected(answer)
  const reply = await sendInput(task, transfer)
  if (reply.type === 'result') {
    if (reply.result.failure == null) throw new TransferError('protocol', 'a result without its output')
    return failureOutcome(order, reply.result.failure)
  }
  if (reply.type !== 'output') throw unexpected(reply)
  if (reply.size > task.offer.outputBytes) return failed(order, 'output-limit', `an output of ${reply.size} bytes, at most ${task.offer.outputBytes} were ordered`)
  return await receiveOutput(task, transfer, reply.size)
}

/** Sends the input while listening: a worker that gives up says so at once. */
async function sendInput (task: TaskAttempt, transfer: Transfer): Promise<TaskMessage> {
  const giveUp = new AbortController()
  const signal = AbortSignal.any([task.signal, giveUp.signal])
  const sending = transfer.send(inputOf(task.order, signal), { signal })
  const settled = sending.then(() => undefined, (error: unknown) => error)
  const reading = read(transfer, signal)
  try {
    const first = await Promise.race([reading.then(message => ({ message })), settled.then(error => ({ error }))])
    if ('message' in first) return first.message
    if (first.error != null) throw first.error
    return await reading
  } finally {
    giveUp.abort()
    await Promise.allSettled([settled, reading])
  }
}

function inputOf (order: ClientOrder, signal: AbortSignal): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  const { bytes, open } = order.source
  return bytes == null ? open!(signal) : [bytes]
}

async function receiveOutput (task: TaskAttempt, transfer: Transfer, size: number): Promise<AttemptOutcome> {
  const { order, signal } = task
  const sink = await task.store.sink({ size })
  let stored: StoredBlock | undefined
  try {
    const chunks = size > LEAF_CHUNK_BYTES ? chunkedLeaf(LEAF_CHUNK_BYTES) : undefined
    // hashed here although the sink does so too: nothing may reach the store's name for it before it is known to be right
    const flow = await transfer.receive(sink, { limit: size, signal, tap: chunks?.update })
    const reply = await read(transfer, signal)
    if (reply.type !== 'result') throw unexpected(reply)
    const problem = check(reply, flow, size)
    if (problem != null) return failed(order, 'transfer', problem)
    const leaf = receiptLeaf(task.offer.job, order.digest, { ...reply.result, block: order.block, attempt: order.attempt }, chunks?.digest())
    const receipt = openReceipt(task.workerKey, [leaf], reply.signature)
    if (receipt == null) return failed(order, 'protocol', 'the receipt does not match the result')
    signal.throwIfAborted()
    stored = await sink.finish()
    const { units, cpuMs, wallMs } = reply.result
    return { ok: true, block: order.block, attempt: order.attempt, digest: stored.digest, size: stored.size, output: { stored }, units, cpuMs, wallMs, receipt: receipt(0) }
  } finally {
    if (stored == null) await sink.abort()
  }
}

function check ({ result }: TaskResult, flow: Flow, size: number): string | undefined {
  if (result.failure != null) return `the worker failed after its output: ${result.failure.message}`
  if (Buffer.compare(flow.digest, result.digest) !== 0) return 'the output does not have the digest of its result'
  if (flow.total !== size || result.size !== size) return `${flow.total} bytes of output where ${size} were announced`
  return undefined
}

function orderMessage (task: TaskAttempt): TaskMessage {
  const { order, offer, generation } = task
  const { offer: number, block, attempt, size, digest, slice } = order
  const wire = { offer: number, block, attempt, size, digest, slice, bytes: new Uint8Array(0) }
  return { type: 'order', ...generation, offer, order: wire, signature: signOrders(task.signer, [orderLeaf(task.offerDigest, wire)]), trace: '' }
}

async function read (transfer: Transfer, signal: AbortSignal): Promise<TaskMessage> {
  const message = taskMessage.decode(await transfer.readMessage({ signal }))
  if (message == null) throw new TransferError('protocol', 'a message of an unknown kind')
  return message
}

function unexpected (message: TaskMessage): TransferError {
  return new TransferError('protocol', `'${message.type}' may not come here`)
}

export function asTransferError (error: unknown): TransferError {
  if (error instanceof TransferError) return error
  const { name, message } = error as Error
  return new TransferError(name === 'ProtocolError' ? 'protocol' : 'reset', message, { cause: error })
}
