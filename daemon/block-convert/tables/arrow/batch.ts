/** Record batches as we write them: uncompressed, without metadata of their own, every buffer on a multiple of eight. */
import { BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message'
import { encapsulate } from './container.ts'
import type { Parts } from './sink.ts'

const ALIGNMENT = 8
const PADDING = new Uint8Array(ALIGNMENT)

/** Metadata of a record batch whose buffers have these lengths, and the bytes of its body. */
export function batchMessage (rows: number, nodes: Array<[number, number]>, lengths: number[], metadata?: Map<string, string>): { message: Uint8Array, body: number } {
  let offset = 0
  const regions = lengths.map(length => {
    const region = new BufferRegion(offset, length)
    offset += padded(length)
    return region
  })
  const batch = new RecordBatch(rows, nodes.map(([length, nulls]) => new FieldNode(length, nulls)), regions, null, [], metadata)
  return { message: encapsulate(Message.encode(Message.from(batch, offset))), body: offset }
}

export function padded (length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT
}

/** A whole message, piece by piece. */
export function encodeBatch (rows: number, { nodes, buffers }: Parts): Uint8Array[] {
  const pieces = [batchMessage(rows, nodes, buffers.map(buffer => buffer.length)).message]
  for (const buffer of buffers) {
    if (buffer.length === 0) continue
    pieces.push(buffer)
    const rest = padded(buffer.length) - buffer.length
    if (rest > 0) pieces.push(PADDING.subarray(0, rest))
  }
  return pieces
}
