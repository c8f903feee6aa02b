/** One attempt on a stream of its own, from the worker's side: the input into a file, the engine, the output, the receipt. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Connection, Stream } from '@libp2p/interface'
import type { Workspace } from '../executor/index.ts'
import { chunkedLeaf } from '../trust/index.ts'
import { ATTACH_TIMEOUT_MS, CHUNK_BYTES, LEAF_CHUNK_BYTES } from './constants.ts'
import { TransferError } from './errors.ts'
import { engineFailure, lacking, parametersOf, wireFailure } from './execution.ts'
import type { Admission, LeaseServer } from './lease-server.ts'
import type { WireFailure, WireFailureReason, WireResult } from './messages.ts'
import { NO_SIGNATURE, offerDigest, receiptLeaf, signReceipts } from './receipts.ts'
import type { Finished, GoodOutcome } from './redelivery.ts'
import type { ServedOffer, TaskServerInit } from './server-types.ts'
import { asTransferError } from './task-client.ts'
import { taskMessage, type TaskOrder } from './task-messages.ts'
import { Transfer, type ByteSink, type Flow } from './transfer.ts'

type Admitted = Extract<Admission, { ok: true }>

/** The attempt cannot succeed, and the requester is to be told why. */
class AttemptFailure extends Error {
  readonly failure: Partial<WireFailure> & { reason: WireFailureReason }
  constructor (failure: Partial<WireFailure> & { reason: WireFailureReason }) {
    super(failure.message)
    this.failure = failure
  }
}

/** Serves one task stream to its end. Never rejects. `requester` is asked once the peer is greeted. */
export async function serveTask (stream: Stream, connection: Connection, init: TaskServerInit & { signal: AbortSignal }, greeted: Promise<void>, requester: () => LeaseServer | undefined): Promise<void> {
  let leases: LeaseServer | undefined
  const transfer = new Transfer(stream, { connection, creditBytes: init.creditBytes, stallMs: init.stallMs, onBytes: () => { leases?.alive() } })
  const stop = (): void => { transfer.abort(new TransferError('aborted', 'this node is stopping')) }
  init.signal.addEventListener('abort', stop, { once: true })
  try {
    await greeted
    leases = requester()
    const message = taskMessage.decode(await transfer.readMessage({ signal: AbortSignal.timeout(ATTACH_TIMEOUT_MS) }))
    if (message?.type !== 'order') throw new TransferError('protocol', 'a task stream begins with an order')
    const admission: Admission = leases?.admit(message, offerDigest(message.offer), message.order, message.signature) ??
      { ok: false, refusal: { reason: 'protocol', message: 'no lease', retryAfterMs: 0 } }
    if (!admission.ok) {
      transfer.sendMessage(taskMessage.encode({ type: 'refuse', ...admission.refusal }))
      await transfer.finish()
      return
    }
    try {
      await attempt(leases!, message, admission, transfer, connection)
    } finally {
      admission.finished()
    }
    await transfer.finish()
  } catch (error) {
    transfer.abort(asTransferError(error))
  } finally {
    init.signal.removeEventListener('abort', stop)
  }
}

async function attempt (leases: LeaseServer, message: TaskOrder, admitted: Admitted, transfer: Transfer, connection: Connection): Promise<void> {
  const { order } = admitted
  let workspace: Workspace | undefined
  const settled = Promise.withResolvers<void>()
  order.settled = settled.promise
  // A stream that is reset while its lease and its connection stand is a cancel. With them gone, the lease's end decides: its requester may come back.
  const onOver = (): void => { if (admitted.current() && connection.status === 'open') order.cancel() }
  transfer.signal.addEventListener('abort', onOver, { once: true })
  if (transfer.signal.aborted) onOver()
  try {
    transfer.sendMessage(taskMessage.encode({ type: 'accept' }))
    workspace = await orUnavailable(leases.context.components.executor.workspace())
    await convert(leases, message, admitted, transfer, workspace, connection)
  } catch (error) {
    const failure = order.refusal ?? (error instanceof AttemptFailure ? error.failure : undefined)
    if (failure == null || transfer.error != null) throw error
    admitted.finished() // the requester takes its credit back with the result, so the slot must be free by then
    sendResult(transfer, { ...refOf(message), ...NOTHING, failure: wireFailure(failure) }, NO_SIGNATURE)
  } finally {
    transfer.signal.removeEventListener('abort', onOver)
    settled.resolve()
    await workspace?.dispose()
  }
}

async function convert (leases: LeaseServer, message: TaskOrder, admitted: Admitted, transfer: Transfer, workspace: Workspace, connection: Connection): Promise<void> {
  const { order, offer } = admitted
  const input = join(workspace.path, 'input')
  await receiveInput(message, transfer, input, order.stopped.signal)
  const found = await leases.orders.findFinished(order, offer.outputBytes)
  const { outcome, dispose } = found ?? await engine(leases, message, admitted, input, workspace)
  let delivered = false
  try {
    order.unheard.signal.throwIfAborted()
    await deliver(leases, message, admitted, transfer, outcome)
    await transfer.finish()
    // a peer that was killed ends its streams like one that took everything
    delivered = transfer.error?.code === 'early-end' && connection.status === 'open'
  } finally {
    if (!delivered) await leases.orders.keep(order, outcome)
    await dispose()
  }
}

/** What this node lacks, say on a full disk, is no fault of the attempt's: its requester is told so. */
async function orUnavailable<T> (made: Promise<T>): Promise<T> {
  try {
    return await made
  } catch (error) {
    throw new AttemptFailure({ reason: 'unavailable', message: lacking(error) })
  }
}

/** Runs the engine; rejects with an AttemptFailure unless it gave an output within the limits. */
async function engine (leases: LeaseServer, message: TaskOrder, { offer, order, begun }: Admitted, input: string, workspace: Workspace): Promise<Finished> {
  let since = 0
  const outcome = await leases.context.components.executor.run({
    converter: offer.converter,
    version: offer.version,
    parameters: readParameters(offer, message),
    input: { path: input, size: message.order.size },
    workspace,
    limits: { outputBytes: offer.outputBytes }
  }, {
    signal: order.stopped.signal,
    onProgress: done => { order.done = done },
    guest: true,
    onBegin: () => {
      since = performance.now()
      begun()
    }
  })
  if (!outcome.ok) throw new AttemptFailure(engineFailure(outcome))
  leases.context.took(performance.now() - since)
  const { output } = outcome
  const size = 'bytes' in output ? output.bytes.length : output.size
  if (size > offer.outputBytes) throw new AttemptFailure({ reason: 'output-limit', message: `an output of ${size} bytes, at most ${offer.outputBytes} were ordered` })
  return { outcome, dispose: async () => {} }
}

/** Sends the output, then the result with its receipt. What is finished is delivered, even when the order is handed back meanwhile. */
async function deliver (leases: LeaseServer, message: TaskOrder, { offer, order, finished }: Admitted, transfer: Transfer, { output, units, cpuMs, wallMs }: GoodOutcome): Promise<void> {
  const size = 'bytes' in output ? output.bytes.length : output.size
  transfer.sendMessage(taskMessage.encode({ type: 'output', size }))
  const chunks = size > LEAF_CHUNK_BYTES ? chunkedLeaf(LEAF_CHUNK_BYTES) : undefined
  const source = 'bytes' in output ? [output.bytes] : createReadStream(output.path, { highWaterMark: CHUNK_BYTES })
  const flow = await transfer.send(source, { signal: order.unheard.signal, tap: chunks?.update })
  const result: WireResult = { ...refOf(message), ...NOTHING, digest: flow.digest, size: flow.total, units, cpuMs: Math.round(cpuMs), wallMs: Math.round(wallMs) }
  const root = chunks?.digest()
  finished()
  sendResult(transfer, result, signReceipts(leases.context.signer, [receiptLeaf(offer.job, message.order.digest, result, root)]), root)
}

function readParameters (offer: ServedOffer, message: TaskOrder): ReturnType<typeof parametersOf> {
  try {
    return parametersOf(offer, message.order)
  } catch (error) {
    throw new AttemptFailure({ reason: 'protocol', message: `the slice: ${(error as Error).message}` })
  }
}

/** Takes the input into a file; what is wrong with it becomes a typed failure, a broken stream stays an exception. */
async function receiveInput ({ order }: TaskOrder, transfer: Transfer, path: string, signal: AbortSignal): Promise<void> {
  const file = await orUnavailable(open(path, 'wx', 0o600))
  const sink: ByteSink = {
    async write (chunk) {
      let at = 0
      while (at < chunk.length) at += (await file.write(chunk, at)).bytesWritten
    },
    async writev (chunks) {
      let left = (await file.writev(chunks)).bytesWritten
      for (const chunk of chunks) {
        if (left < chunk.length) await sink.write(chunk.subarray(left))
        left = Math.max(0, left - chunk.length)
      }
    }
  }
  let flow: Flow
  try {
    flow = await transfer.receive(sink, { limit: order.size, signal })
  } catch (error) {
    const { code, message } = asTransferError(error)
    if (code === 'local') throw new AttemptFailure({ reason: 'unavailable', message })
    if (code === 'too-long' || code === 'wrong-digest') throw new AttemptFailure({ reason: 'transfer', message })
    throw error
  } finally {
    await file.close()
  }
  if (flow.total !== order.size) throw new AttemptFailure({ reason: 'transfer', message: `${flow.total} bytes of input where ${order.size} were ordered` })
  if (Buffer.compare(flow.digest, order.digest) !== 0) throw new AttemptFailure({ reason: 'transfer', message: 'the input does not have the digest of its order' })
}

const NO_BYTES = new Uint8Array(0)
const NOTHING = { digest: NO_BYTES, size: 0, bytes: NO_BYTES, units: undefined, cpuMs: 0, wallMs: 0, failure: undefined }

function refOf ({ order }: TaskOrder): { offer: number, block: number, attempt: number } {
  return { offer: order.offer, block: order.block, attempt: order.attempt }
}

function sendResult (transfer: Transfer, result: WireResult, signature: Uint8Array, chunks?: Uint8Array): void {
  transfer.sendMessage(taskMessage.encode({ type: 'result', result, signature, chunks }))
}
