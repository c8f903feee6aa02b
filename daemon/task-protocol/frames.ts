/**
 * Length-prefixed messages on one libp2p stream. Everything sent during a tick leaves in one `stream.send`; what arrives
 * is parsed in place, and only a frame that spans two reads is copied.
 */
import type { Stream } from '@libp2p/interface'
import type { OneOf } from './codec.ts'
import { CLOSE_MS, LEASE_WRITE_BYTES_MAX, LINGER_MS } from './constants.ts'
import { ProtocolError } from './errors.ts'
import { Reader, Writer } from './wire.ts'

export interface FrameHandlers<M> {
  /** In order of arrival. What it throws aborts the stream and is given to `onClose`. */
  onMessage: (message: M) => void
  /** Any byte arrived: a sign of life. */
  onBytes?: () => void
  /** Called once; `error` is absent if the other side closed in good order. No message follows. */
  onClose: (error?: Error) => void
}

export interface FrameLimits {
  /** Bytes of one frame. */
  frameBytes: number
  /** Bytes waiting to be written, above which the peer counts as not reading. @default LEASE_WRITE_BYTES_MAX */
  writeBytes?: number
}

/** Cuts a byte flow, in whatever pieces it comes, into frames. */
export class FrameParser {
  private readonly max: number
  private readonly onFrame: (buffer: Uint8Array, at: number, end: number) => void
  /** Bytes of the frame being read; -1 while its length is. */
  private need = -1
  private length = 0
  private scale = 1
  private body: Uint8Array | undefined
  private have = 0

  constructor (max: number, onFrame: (buffer: Uint8Array, at: number, end: number) => void) {
    this.max = max
    this.onFrame = onFrame
  }

  /** True in the middle of a frame: a stream that ends here was cut off. */
  get partial (): boolean {
    return this.need >= 0 || this.scale > 1
  }

  /** Throws ProtocolError, and what `onFrame` throws. */
  push (chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.need < 0) {
        at = this.readLength(chunk, at)
        continue
      }
      const left = chunk.length - at
      if (this.body == null && left >= this.need) {
        const end = at + this.need
        this.need = -1
        this.onFrame(chunk, at, end)
        at = end
        continue
      }
      this.body ??= Buffer.allocUnsafeSlow(this.need)
      const taken = Math.min(left, this.need - this.have)
      this.body.set(chunk.subarray(at, at + taken), this.have)
      this.have += taken
      at += taken
      if (this.have < this.need) return
      const body = this.body
      this.body = undefined
      this.have = 0
      this.need = -1
      this.onFrame(body, 0, body.length)
    }
  }

  private readLength (chunk: Uint8Array, at: number): number {
    const byte = chunk[at]!
    this.length += (byte & 127) * this.scale
    if (this.length > this.max) throw new ProtocolError('too-large', `a frame of more than ${this.max} bytes`)
    if (byte >= 128) {
      this.scale *= 128
      if (this.scale > 2 ** 35) throw new ProtocolError('malformed', 'a frame length of more than five bytes')
      return at + 1
    }
    if (byte === 0) throw new ProtocolError('malformed', this.scale > 1 ? 'a frame length is longer than it needs to be' : 'an empty frame')
    this.need = this.length
    this.length = 0
    this.scale = 1
    return at + 1
  }
}

export class FrameStream<M extends { type: string }> {
  readonly stream: Stream
  private readonly codec: OneOf<M>
  private readonly handlers: FrameHandlers<M>
  private readonly writeBytes: number
  private readonly writer = new Writer()
  private prefix = 1
  private scheduled = false
  /** Nothing is sent or delivered any more. */
  private ended = false
  private told = false

  /** Listens at once: nothing that arrives before the next `await` is missed. */
  constructor (stream: Stream, codec: OneOf<M>, limits: FrameLimits, handlers: FrameHandlers<M>) {
    this.stream = stream
    this.codec = codec
    this.handlers = handlers
    this.writeBytes = limits.writeBytes ?? LEASE_WRITE_BYTES_MAX
    const parser = new FrameParser(limits.frameBytes, (buffer, at, end) => {
      if (this.ended) return // a message before this one in the same read ended the stream
      const message = codec.read(new Reader(buffer, at, end))
      if (message != null) handlers.onMessage(message)
    })
    stream.addEventListener('message', event => {
      if (this.ended) return
      try {
        handlers.onBytes?.()
        if (event.data instanceof Uint8Array) parser.push(event.data)
        else for (const chunk of event.data) parser.push(chunk)
      } catch (error) {
        this.abort(error as Error)
      }
    })
    const ended = (): void => {
      if (stream.status === 'reset' || stream.status === 'aborted') return // 'close' follows and knows the error
      this.finish(parser.partial ? new ProtocolError('truncated', 'the stream ended inside a frame') : undefined)
      // both directions are needed here: half a stream is worth nothing
      stream.close({ signal: AbortSignal.timeout(CLOSE_MS) }).catch(error => { stream.abort(error as Error) })
    }
    stream.addEventListener('end', ended)
    stream.addEventListener('close', event => { this.finish(event.error ?? (parser.partial ? new ProtocolError('truncated', 'the stream ended inside a frame') : undefined)) })
    // a stream that was over before we came dispatches nothing any more; what it still holds is dispatched first
    if (stream.status === 'reset' || stream.status === 'aborted') queueMicrotask(() => { this.finish(new Error('the stream was reset')) })
    else if (stream.readableEnded || stream.status === 'closed') queueMicrotask(ended)
  }

  get closed (): boolean {
    return this.ended
  }

  /**
   * Queues a message for the end of this tick. Does nothing once closed. A message beyond its own limits is a fault of
   * this node; it ends the stream, because it is often sent where nobody could catch.
   */
  send (message: M): void {
    if (this.ended) return
    const prefix = this.prefix
    const before = this.writer.length
    const mark = this.writer.begin(prefix)
    try {
      this.codec.write(this.writer, message)
    } catch (error) {
      this.writer.truncate(before)
      this.abort(error as Error)
      return
    }
    this.prefix = this.writer.end(mark, prefix)
    if (this.scheduled) return
    this.scheduled = true
    // after every microtask of this tick, those queued by microtasks too: an acknowledgement and the orders that the job
    // gives in answer to the results leave together
    queueMicrotask(() => { process.nextTick(() => { this.flush() }) })
  }

  private flush (): void {
    this.scheduled = false
    if (this.writer.length === 0) return
    if (this.ended) {
      this.writer.drop()
      return
    }
    try {
      this.stream.send(this.writer.take())
      if (this.stream.writeBufferLength > this.writeBytes) throw new ProtocolError('unexpected', `the peer does not read: ${this.stream.writeBufferLength} bytes wait to be written`)
    } catch (error) {
      this.abort(error as Error)
    }
  }

  /** Sends what waits and closes in good order; resets the stream if that or the other side's answer takes too long. Never rejects. */
  async close (): Promise<void> {
    if (this.ended) return
    this.flush()
    this.ended = true
    try {
      await this.stream.close({ signal: AbortSignal.timeout(CLOSE_MS) })
    } catch (error) {
      this.stream.abort(error as Error)
    }
    this.finish(undefined)
    if (this.stream.status !== 'open') return
    // a peer that never closes its side would keep the stream, of which it may have only a few, to no purpose
    const timer = setTimeout(() => { this.stream.abort(new Error('the other side did not close')) }, LINGER_MS)
    timer.unref()
    this.stream.addEventListener('close', () => { clearTimeout(timer) }, { once: true })
  }

  /** Resets the stream. */
  abort (error: Error): void {
    if (this.ended) return
    this.finish(error)
    this.stream.abort(error)
  }

  private finish (error: Error | undefined): void {
    this.ended = true
    if (this.told) return
    this.told = true
    this.handlers.onClose(error)
  }
}
