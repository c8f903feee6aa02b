/**
 * What daemon and engine process say to each other: DAG-CBOR maps, each after its length in four bytes. What an engine
 * process says is not trusted: sizes are bounded and every field is looked at.
 */
import { decode, encode } from '@ipld/dag-cbor'
import type { Parameters } from '../block-convert/index.ts'
import { FRAME_BYTES_MAX } from './constants.ts'
import { FrameError } from './errors.ts'

export interface TaskMessage {
  type: 'task'
  id: number
  converter: string
  version: string
  parameters: Parameters
  input: { path: string, size: number } | { bytes: Uint8Array }
  output: string
  threads: number
  memoryBytes: number
  /** Milliseconds over which CPU time counts as progress. */
  cpuWindowMs: number
}

export type ToEngine = TaskMessage | { type: 'cancel', id: number }

export type EngineAnswer =
  | { ok: true, bytes?: Uint8Array, units?: number }
  | { ok: false, reason: 'conversion' | 'out-of-memory' | 'output-limit' | 'unavailable', message: string, code?: string, details?: Record<string, unknown> }

export type FromEngine =
  | { type: 'ready' }
  | { type: 'progress', id: number, done: number }
  | { type: 'answer', id: number, cpuMs: number, answer: EngineAnswer }

/** Throws FrameError if the message is too large, and TypeError for what DAG-CBOR cannot hold. */
export function encodeFrame (message: ToEngine | FromEngine): Uint8Array {
  const body = encode(message)
  if (body.byteLength > FRAME_BYTES_MAX) throw new FrameError(`a message of ${body.byteLength} bytes is over the limit of ${FRAME_BYTES_MAX}`)
  const frame = Buffer.allocUnsafe(4 + body.byteLength)
  frame.writeUInt32BE(body.byteLength)
  frame.set(body, 4)
  return frame
}

/** Gathers bytes into messages. Holds at most one incomplete message. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0)

  /** The messages completed by these bytes. Throws FrameError. */
  push (bytes: Uint8Array): unknown[] {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let data = this.#held.byteLength === 0 ? chunk : Buffer.concat([this.#held, chunk])
    const messages: unknown[] = []
    while (data.byteLength >= 4) {
      const length = data.readUInt32BE()
      if (length > FRAME_BYTES_MAX) throw new FrameError(`a message of ${length} bytes is over the limit of ${FRAME_BYTES_MAX}`)
      if (data.byteLength < 4 + length) break
      messages.push(decoded(data.subarray(4, 4 + length)))
      data = data.subarray(4 + length)
    }
    // Copied, because the rest would keep the whole chunk it came in.
    this.#held = Buffer.from(data)
    return messages
  }
}

function decoded (body: Uint8Array): unknown {
  try {
    return decode(body)
  } catch (error) {
    throw new FrameError(`not a message: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** A message from an engine process, every field checked. Throws FrameError. */
export function readFromEngine (message: unknown): FromEngine {
  const map = fieldsOf(message, 'message')
  switch (map['type']) {
    case 'ready':
      return { type: 'ready' }
    case 'progress':
      return { type: 'progress', id: count(map, 'id'), done: count(map, 'done') }
    case 'answer':
      return { type: 'answer', id: count(map, 'id'), cpuMs: count(map, 'cpuMs'), answer: readAnswer(fieldsOf(map['answer'], 'answer')) }
    default:
      throw new FrameError('a message of unknown type')
  }
}

const REASONS = ['conversion', 'out-of-memory', 'output-limit', 'unavailable'] as const

function readAnswer (map: Record<string, unknown>): EngineAnswer {
  if (map['ok'] === true) {
    const answer: EngineAnswer = { ok: true }
    if (map['bytes'] !== undefined) {
      if (!(map['bytes'] instanceof Uint8Array)) throw new FrameError('bytes of an answer are no bytes')
      answer.bytes = map['bytes']
    }
    if (map['units'] !== undefined) answer.units = count(map, 'units')
    return answer
  }
  const reason = REASONS.find(known => known === map['reason'])
  if (map['ok'] !== false || reason == null || typeof map['message'] !== 'string') throw new FrameError('an answer that says neither result nor reason')
  const { code, details } = map
  return {
    ok: false,
    reason,
    message: map['message'],
    ...(typeof code === 'string' ? { code } : {}),
    ...(details === undefined ? {} : { details: fieldsOf(details, 'details') })
  }
}

function fieldsOf (value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value == null || Array.isArray(value) || value instanceof Uint8Array) throw new FrameError(`${what}: not a map`)
  return value as Record<string, unknown>
}

function count (map: Record<string, unknown>, key: string): number {
  const value = map[key]
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new FrameError(`${key}: not a count`)
  return value
}
