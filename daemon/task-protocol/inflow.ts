/**
 * What has come of a flow and waits for its sink. The bytes are copied into chunks of our own: a view would keep the whole read of the
 * line alive, and a peer that cuts its frames small would make us keep a view per byte. So the memory is that of the bytes,
 * rounded up to a chunk, however they are cut; and the sink gets few, large writes.
 */
import { CHUNK_BYTES, SPARE_CHUNKS_MAX } from './constants.ts'
import { ProtocolError } from './errors.ts'

/** The end of a flow. */
export interface Flow {
  /** sha2-256 as in the end marker. */
  digest: Uint8Array
  total: number
}

interface Chunk { memory: Buffer, filled: number }

/** Chunks whose bytes were taken, for whichever flow needs one next. */
const spare: Buffer[] = []

export class Inflow {
  /** The end marker, once it came. */
  end: Flow | undefined
  private granted = 0
  private received = 0
  /** Oldest first; all but the last are full. */
  private chunks: Chunk[] = []
  private lent: Chunk[] = []
  private waitingMax = 0
  private memoryMax = 0

  /** Most bytes that ever waited or were lent, and most memory they ever took. */
  get max (): { bytes: number, memory: number } {
    return { bytes: this.waitingMax, memory: this.memoryMax }
  }

  /** The other side may send. */
  get open (): boolean {
    return this.granted > this.received
  }

  /** The other side may send this many bytes more. */
  grant (bytes: number): void {
    this.granted += bytes
  }

  /** Takes bytes from the line; they may be reused at once. Throws ProtocolError for more than were granted. */
  push (piece: Uint8Array): void {
    if (this.end != null) throw new ProtocolError('unexpected', 'data after the end marker')
    this.received += piece.length
    if (this.received > this.granted) throw new ProtocolError('too-large', `${this.received} bytes came, ${this.granted} were granted`)
    for (let at = 0; at < piece.length;) {
      let chunk = this.chunks.at(-1)
      if (chunk == null || chunk.filled === CHUNK_BYTES) {
        chunk = { memory: spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES), filled: 0 }
        this.chunks.push(chunk)
      }
      const taken = Math.min(CHUNK_BYTES - chunk.filled, piece.length - at)
      chunk.memory.set(taken === piece.length ? piece : piece.subarray(at, at + taken), chunk.filled)
      chunk.filled += taken
      at += taken
    }
    this.measure()
  }

  /** Throws ProtocolError for a second end. */
  finish (flow: Flow): void {
    if (this.end != null) throw new ProtocolError('unexpected', 'a second end marker')
    this.end = flow
  }

  /** Lends what waits, up to so many chunks, until `giveBack`. */
  lend (count: number): Uint8Array[] {
    this.lent = this.chunks.splice(0, count)
    return this.lent.map(({ memory, filled }) => memory.subarray(0, filled))
  }

  /** What was lent is used no more. A sink that failed may still hold it; then this is not called, and the chunks are not used again. */
  giveBack (): void {
    for (const { memory } of this.lent) if (spare.length < SPARE_CHUNKS_MAX) spare.push(memory)
    this.lent = []
  }

  /** Drops what waits. */
  clear (): void {
    this.chunks = []
  }

  private measure (): void {
    this.memoryMax = Math.max(this.memoryMax, (this.chunks.length + this.lent.length) * CHUNK_BYTES)
    this.waitingMax = Math.max(this.waitingMax, filledOf(this.lent) + filledOf(this.chunks))
  }
}

/** Bytes in chunks of which all but the last are full. */
function filledOf (chunks: Chunk[]): number {
  const last = chunks.at(-1)
  return last == null ? 0 : (chunks.length - 1) * CHUNK_BYTES + last.filled
}
