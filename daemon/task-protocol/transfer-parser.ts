/** Cuts a byte flow into transfer frames: a header of five bytes (type, length), then a body. Data bodies pass as views. */
import { CHUNK_BYTES_MAX, MESSAGE_BYTES_MAX } from './constants.ts'
import { ProtocolError } from './errors.ts'

export const MESSAGE_FRAME = 1
export const DATA_FRAME = 2
export const END_FRAME = 3
export const CREDIT_FRAME = 4

/** type u8, length u32 big-endian */
export const HEADER_BYTES = 5
/** sha2-256 and total u64 big-endian */
export const END_BYTES = 40
/** bytes granted, u32 big-endian */
export const CREDIT_BYTES_LENGTH = 4

export interface TransferHandlers {
  onMessage: (bytes: Uint8Array) => void
  onData: (piece: Uint8Array) => void
  onEnd: (digest: Uint8Array, total: number) => void
  onCredit: (bytes: number) => void
}

export class TransferParser {
  private readonly handlers: TransferHandlers
  private readonly header = Buffer.alloc(HEADER_BYTES)
  private headerBytes = 0
  private type = 0
  private left = 0
  private body: Buffer | undefined
  private bodyBytes = 0

  constructor (handlers: TransferHandlers) {
    this.handlers = handlers
  }

  /** Throws ProtocolError, and what a handler throws. */
  push (chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.left === 0) {
        const taken = Math.min(HEADER_BYTES - this.headerBytes, chunk.length - at)
        this.header.set(chunk.subarray(at, at + taken), this.headerBytes)
        this.headerBytes += taken
        at += taken
        if (this.headerBytes === HEADER_BYTES) this.begin(this.header[0]!, this.header.readUInt32BE(1))
        continue
      }
      const taken = Math.min(this.left, chunk.length - at)
      const piece = chunk.subarray(at, at + taken)
      at += taken
      this.left -= taken
      if (this.type === DATA_FRAME) this.handlers.onData(piece)
      else this.gather(piece)
    }
  }

  private begin (type: number, length: number): void {
    this.headerBytes = 0
    const [least, most] = limits(type)
    if (length < least || length > most) throw new ProtocolError('too-large', `a frame of type ${type} with ${length} bytes`)
    this.type = type
    this.left = length
    if (type === DATA_FRAME) return
    this.body = Buffer.allocUnsafeSlow(length)
    this.bodyBytes = 0
  }

  private gather (piece: Uint8Array): void {
    const body = this.body!
    body.set(piece, this.bodyBytes)
    this.bodyBytes += piece.length
    if (this.left > 0) return
    this.body = undefined
    switch (this.type) {
      case MESSAGE_FRAME: this.handlers.onMessage(body); return
      case CREDIT_FRAME: this.handlers.onCredit(body.readUInt32BE(0)); return
      case END_FRAME: {
        const total = body.readUInt32BE(32) * 2 ** 32 + body.readUInt32BE(36)
        if (total > Number.MAX_SAFE_INTEGER) throw new ProtocolError('too-large', 'a total that is not below 2^53')
        this.handlers.onEnd(body.subarray(0, 32), total)
      }
    }
  }
}

function limits (type: number): [number, number] {
  switch (type) {
    case MESSAGE_FRAME: return [1, MESSAGE_BYTES_MAX]
    case DATA_FRAME: return [1, CHUNK_BYTES_MAX]
    case END_FRAME: return [END_BYTES, END_BYTES]
    case CREDIT_FRAME: return [CREDIT_BYTES_LENGTH, CREDIT_BYTES_LENGTH]
    default: throw new ProtocolError('malformed', `frame type ${type}`)
  }
}

/** A header for a body of `length` bytes. */
export function header (type: number, length: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES)
  bytes[0] = type
  bytes.writeUInt32BE(length, 1)
  return bytes
}

export function endFrame (digest: Uint8Array, total: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + END_BYTES)
  bytes[0] = END_FRAME
  bytes.writeUInt32BE(END_BYTES, 1)
  bytes.set(digest, HEADER_BYTES)
  bytes.writeUInt32BE(Math.floor(total / 2 ** 32), HEADER_BYTES + 32)
  bytes.writeUInt32BE(total % 2 ** 32, HEADER_BYTES + 36)
  return bytes
}

export function creditFrame (granted: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + CREDIT_BYTES_LENGTH)
  bytes[0] = CREDIT_FRAME
  bytes.writeUInt32BE(CREDIT_BYTES_LENGTH, 1)
  bytes.writeUInt32BE(granted, HEADER_BYTES)
  return bytes
}
