/**
 * The transfer module: messages and bulk bytes, both ways, on one libp2p stream, with bounded memory on both sides.
 *
 * libp2p's own helpers give a reader no back-pressure, so the receiver grants credits: at most `creditBytes` are on the way
 * or waiting for its sink. The sender keeps at most the write cap (4 MiB, less on slow lines) queued. A flow ends with
 * a marker that carries its sha2-256 and length; a stream that ends without it (a killed peer's does, without an error) failed.
 *
 * @example
 * ```ts
 * const transfer = new Transfer(stream, { connection })      // before the first await: nothing is missed
 * transfer.sendMessage(order)
 * await transfer.send(createReadStream(path), { signal })    // one flow per direction
 * const { digest, total } = await transfer.receive(sink, { limit, signal })
 * ```
 */
import { createHash } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { bulkBudget, type BulkBudget } from './bulk-budget.ts'
import { CHUNK_BYTES, CLOSE_MS, CREDIT_BYTES, STALL_MS, WRITE_CHUNKS_MAX } from './constants.ts'
import { ProtocolError, TransferError } from './errors.ts'
import { Inflow, type Flow } from './inflow.ts'
import { creditFrame, DATA_FRAME, endFrame, header, MESSAGE_FRAME, TransferParser } from './transfer-parser.ts'

/** Messages that may wait to be read: a task stream never has more than two under way. */
const MESSAGES_MAX = 8

/** Takes bytes; `write` resolves when they may be reused and more may come. */
export interface ByteSink {
  write: (chunk: Uint8Array) => Promise<void>
  /** Takes several chunks at once, where that is cheaper. */
  writev?: (chunks: Uint8Array[]) => Promise<void>
}

export interface TransferInit {
  /** Lets several streams of a connection share its write cap. */
  connection?: Connection
  /** @default CREDIT_BYTES */
  creditBytes?: number
  /** @default STALL_MS */
  stallMs?: number
  /** Any byte arrived: a sign of life. */
  onBytes?: () => void
}

export interface SendOptions {
  signal?: AbortSignal
  /** Sees every byte sent, in order. */
  tap?: (chunk: Uint8Array) => void
}

export interface ReceiveOptions {
  /** Bytes the flow may have; more is `too-long`. */
  limit: number
  signal?: AbortSignal
  /** false: the sink hashes by itself and the caller compares with the digest returned. @default true */
  verify?: boolean
  tap?: (chunk: Uint8Array) => void
}

export class Transfer {
  private readonly stream: Stream
  private readonly budget: BulkBudget
  private readonly creditBytes: number
  private readonly stallMs: number

  private readonly messages: Uint8Array[] = []
  private readonly inflow = new Inflow()
  private credit = 0
  private failure: TransferError | undefined
  /** Nobody reads any more: what still comes is dropped. */
  private discarding = false
  private readonly controller = new AbortController()
  private wakeReader: (() => void) | undefined
  private wakeMessage: (() => void) | undefined
  private wakeWriter: (() => void) | undefined
  /** Monotonic milliseconds at which a byte last moved in each direction. */
  private readAt = 0
  private writtenAt = 0
  private maxQueued = 0

  /** Listens at once: nothing that arrives before the next `await` is missed. */
  constructor (stream: Stream, init: TransferInit = {}) {
    this.stream = stream
    this.budget = bulkBudget(init.connection)
    this.creditBytes = init.creditBytes ?? CREDIT_BYTES
    this.stallMs = init.stallMs ?? STALL_MS
    const parser = new TransferParser({
      onMessage: bytes => { this.onMessage(bytes) },
      onData: piece => { this.inflow.push(piece) },
      onEnd: (digest, total) => { this.inflow.finish({ digest, total }) },
      onCredit: bytes => { this.onCredit(bytes) }
    })
    stream.addEventListener('message', event => {
      if (this.failure != null || this.discarding) return
      this.readAt = performance.now()
      init.onBytes?.()
      try {
        if (event.data instanceof Uint8Array) parser.push(event.data)
        else for (const chunk of event.data) parser.push(chunk)
      } catch (error) {
        this.abort(new TransferError('protocol', (error as Error).message, { cause: error }))
      }
      this.wakeReader?.()
    })
    stream.addEventListener('drain', () => { this.wakeWriter?.() })
    stream.addEventListener('end', () => { this.ended() })
    stream.addEventListener('close', event => {
      this.fail(event.error == null ? earlyEnd() : new TransferError('reset', `the stream was reset: ${event.error.message}`, { cause: event.error }))
    })
    // a stream that was over before we came dispatches nothing any more; what it still holds is dispatched first
    if (stream.status === 'reset' || stream.status === 'aborted') queueMicrotask(() => { this.fail(new TransferError('reset', 'the stream was reset')) })
    else if (stream.readableEnded || stream.status === 'closed') queueMicrotask(() => { this.fail(earlyEnd()) })
  }

  /** Most bytes that ever waited, for the sink and for the line, and the most memory those for the sink ever took. */
  get bufferedMax (): { received: number, memory: number, sent: number } {
    const { bytes, memory } = this.inflow.max
    return { received: bytes, memory, sent: this.maxQueued }
  }

  /** Why the stream is of no use any more; undefined while it is. */
  get error (): TransferError | undefined {
    return this.failure
  }

  /** Fires when the stream is of no use any more, with the TransferError as its reason. */
  get signal (): AbortSignal {
    return this.controller.signal
  }

  sendMessage (bytes: Uint8Array): void {
    this.write(new Uint8ArrayList(header(MESSAGE_FRAME, bytes.length), bytes))
  }

  /** The next message. Rejects with a TransferError if none can come any more, or the signal fires. */
  async readMessage (options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    for (;;) {
      const message = this.messages.shift()
      if (message != null) return message
      if (this.failure != null) throw this.failure
      await this.wait('wakeMessage', options.signal)
    }
  }

  /**
   * Sends one flow and its end marker. Rejects with a TransferError; on `aborted` and `local` the stream stays open, so
   * that a message can still say why, otherwise it is reset.
   */
  async send (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, options: SendOptions = {}): Promise<Flow> {
    const hash = createHash('sha256')
    let total = 0
    const release = this.budget.join()
    try {
      for await (const bytes of localErrors(source)) {
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
          const chunk = bytes.length <= CHUNK_BYTES ? bytes : bytes.subarray(at, at + CHUNK_BYTES)
          hash.update(chunk)
          options.tap?.(chunk)
          while (this.credit < chunk.length) await this.waitToWrite(options.signal)
          this.credit -= chunk.length
          total += chunk.length
          this.write(new Uint8ArrayList(header(DATA_FRAME, chunk.length), chunk))
          await this.drain(options.signal)
        }
      }
      const digest = hash.digest()
      this.write(endFrame(digest, total))
      return { digest, total }
    } finally {
      release()
    }
  }

  /**
   * Takes one flow into the sink, returning credits as the sink takes the bytes. Rejects with a TransferError; on
   * `aborted`, `local`, `too-long` and `wrong-digest` the stream stays open, so that a message can still say why.
   */
  async receive (sink: ByteSink, options: ReceiveOptions): Promise<Flow> {
    const hash = options.verify === false ? undefined : createHash('sha256')
    this.grant(this.creditBytes)
    let unreturned = 0
    let total = 0
    for (;;) {
      if (this.failure != null && this.inflow.end == null) throw this.failure
      const chunks = this.inflow.lend(sink.writev == null ? 1 : WRITE_CHUNKS_MAX)
      if (chunks.length > 0) {
        let size = 0
        for (const chunk of chunks) size += chunk.length
        total += size
        if (total > options.limit) throw new TransferError('too-long', `more than the ${options.limit} bytes there may be`)
        for (const chunk of chunks) {
          hash?.update(chunk)
          options.tap?.(chunk)
        }
        await into(sink, chunks)
        unreturned += size
        this.inflow.giveBack()
        if (options.signal?.aborted === true) throw aborted(options.signal)
        if (unreturned >= this.creditBytes / 4 && this.inflow.end == null && this.failure == null) {
          this.grant(unreturned)
          unreturned = 0
        }
        continue
      }
      if (this.inflow.end != null) break
      await this.wait('wakeReader', options.signal, ownMs => performance.now() - this.readAt - ownMs > this.stallMs && this.inflow.open)
    }
    const { digest, total: announced } = this.inflow.end
    if (announced !== total) throw new TransferError('wrong-digest', `${total} bytes came, the end marker says ${announced}`)
    if (hash != null && Buffer.compare(hash.digest(), digest) !== 0) throw new TransferError('wrong-digest', 'the bytes do not have the digest of the end marker')
    return { digest, total }
  }

  /** Closes our side once everything queued has left. Never rejects. */
  async close (): Promise<void> {
    try {
      await this.stream.close({ signal: AbortSignal.timeout(this.stallMs) })
    } catch (error) {
      this.stream.abort(error as Error)
    }
  }

  /**
   * Nothing more is wanted of the other side: what it sent or still sends is dropped, and the stream is reset if it has not
   * closed its own side within the stall limit. Without it a peer that never closes would hold our memory, stream by stream.
   */
  discard (): void {
    if (this.discarding) return
    this.discarding = true
    this.messages.length = 0
    this.inflow.clear()
    if (this.stream.status !== 'open') return
    // not at once: what we sent last may still be on its way
    const timer = setTimeout(() => { this.abort(new TransferError('stalled', `the other side did not close for ${this.stallMs} ms`)) }, this.stallMs)
    timer.unref()
    this.stream.addEventListener('close', () => { clearTimeout(timer) }, { once: true })
  }

  /** Closes our side, drops what still comes, and waits until the other side has closed its own, too: it has everything then. Never rejects. */
  async finish (): Promise<void> {
    await this.close()
    this.discard()
    if (this.failure != null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, CLOSE_MS)
    this.signal.addEventListener('abort', () => { resolve() }, { once: true })
    await promise
    clearTimeout(timer)
  }

  /** Resets the stream; whatever waits on it rejects with `error`. */
  abort (error: TransferError): void {
    this.fail(error)
    this.stream.abort(error)
  }

  private onMessage (bytes: Uint8Array): void {
    if (this.messages.length >= MESSAGES_MAX) throw new ProtocolError('unexpected', `more than ${MESSAGES_MAX} messages wait`)
    this.messages.push(bytes)
    this.wakeMessage?.()
  }

  private onCredit (bytes: number): void {
    this.credit += bytes
    if (this.credit > Number.MAX_SAFE_INTEGER) throw new ProtocolError('too-large', 'more credit than can be counted')
    this.writtenAt = performance.now()
    this.wakeWriter?.()
  }

  private ended (): void {
    // after a reset 'close' follows, and knows the error
    if (this.stream.status !== 'reset' && this.stream.status !== 'aborted') this.fail(earlyEnd())
  }

  private grant (bytes: number): void {
    this.inflow.grant(bytes)
    this.readAt = performance.now()
    this.write(creditFrame(bytes))
  }

  private write (data: Uint8Array | Uint8ArrayList): void {
    if (this.failure != null) throw this.failure
    try {
      this.stream.send(data)
    } catch (error) {
      const failure = this.failure ?? new TransferError('reset', `the stream cannot be written: ${(error as Error).message}`, { cause: error })
      this.fail(failure)
      throw failure
    }
    this.writtenAt = performance.now()
    const queued = this.stream.writeBufferLength
    if (queued > this.maxQueued) this.maxQueued = queued
  }

  /** Waits until what is queued is below the connection's cap. */
  private async drain (signal: AbortSignal | undefined): Promise<void> {
    let queued = this.stream.writeBufferLength
    this.budget.drained(0, queued > 0)
    while (queued > this.budget.cap()) {
      // not stream.onDrain(): it resolves at once after its first use
      await this.waitToWrite(signal)
      const left = this.stream.writeBufferLength
      this.budget.drained(queued - left, left > 0)
      if (left < queued) this.writtenAt = performance.now()
      queued = left
    }
  }

  private async waitToWrite (signal: AbortSignal | undefined): Promise<void> {
    if (this.failure != null) throw this.failure
    const since = performance.now()
    await this.wait('wakeWriter', signal, ownMs => performance.now() - Math.max(since, this.writtenAt) - ownMs > this.stallMs)
    if (this.failure != null) throw this.failure
  }

  /** `stalled` is asked from time to time, and told by how many milliseconds this node itself was late while it waited: those are not the other side's. */
  private async wait (which: 'wakeReader' | 'wakeMessage' | 'wakeWriter', signal: AbortSignal | undefined, stalled?: (ownMs: number) => boolean): Promise<void> {
    if (signal?.aborted === true) throw aborted(signal)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this[which] = resolve
    const onAbort = (): void => { reject(aborted(signal!)) }
    signal?.addEventListener('abort', onAbort, { once: true })
    const lookMs = Math.max(1, this.stallMs / 4)
    let ownMs = 0
    let looked = performance.now()
    const timer = stalled == null
      ? undefined
      : setInterval(() => {
        const now = performance.now()
        ownMs += Math.max(0, now - looked - lookMs)
        looked = now
        if (stalled(ownMs)) this.abort(new TransferError('stalled', `nothing moved for ${this.stallMs} ms`))
      }, lookMs)
    try {
      await promise
    } finally {
      this[which] = undefined
      clearInterval(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  private fail (error: TransferError): void {
    if (this.failure != null) return
    this.failure = error
    this.controller.abort(error)
    this.wakeReader?.()
    this.wakeMessage?.()
    this.wakeWriter?.()
  }
}

/** Errors of our own source are told apart from those of the line. */
async function * localErrors (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield * source
  } catch (error) {
    throw local('the source failed', error)
  }
}

async function into (sink: ByteSink, chunks: Uint8Array[]): Promise<void> {
  try {
    if (chunks.length === 1) await sink.write(chunks[0]!)
    else await sink.writev!(chunks)
  } catch (error) {
    throw local('the sink failed', error)
  }
}

function local (what: string, error: unknown): TransferError {
  return error instanceof TransferError ? error : new TransferError('local', `${what}: ${(error as Error).message}`, { cause: error })
}

const earlyEnd = (): TransferError => new TransferError('early-end', 'the stream ended without its end marker')

function aborted (signal: AbortSignal): TransferError {
  return new TransferError('aborted', 'given up here', { cause: signal.reason })
}

export type { Flow }
