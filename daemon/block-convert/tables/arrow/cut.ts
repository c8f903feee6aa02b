/**
 * Smaller record batches out of a large one, by ranges of its buffers: nothing is copied or unpacked. Offsets into text stay as they are;
 * that the text begins where the first of them says is told in the metadata. So a file that is a single record batch, as some writers
 * make them, is read once by all workers together, not once by each.
 */
import { DataType, type Field } from 'apache-arrow'
import type { RandomAccess } from '../random-access.ts'
import { batchMessage, padded } from './batch.ts'
import { bodyOf } from './body.ts'
import type { ArrowMessage } from './container.ts'
import { columnsOf, fixedWidth, isBytes, offsetWidth, readOffset, type Column } from './layout.ts'
import { Malformed } from './flatbuffer.ts'
import { CUT_COLUMNS_MAX } from './limits.ts'
import { CUT } from './metadata.ts'

/** Bytes as they are, or where they stand in the file. */
export type Piece = { bytes: Uint8Array } | { offset: number, length: number }

export interface Cut {
  from: number
  to: number
  pieces: Piece[]
}

/** Bitmaps are cut between whole words, so that every buffer begins where readers want it. */
const STEP_ROWS = 64

/** Whether all columns are of the kinds that can be cut. Nested ones are not: where their parts are cut is no word's beginning. */
export function isCuttable ({ head }: ArrowMessage, fields: Field[]): boolean {
  if (head.kind !== 'batch' || head.batch.codec != null || head.batch.cut || fields.length > CUT_COLUMNS_MAX) return false
  return fields.every(({ type }) => DataType.isNull(type) || DataType.isBool(type) || isBytes(type as DataType) || fixedWidth(type as DataType) != null)
}

/** Cuts a record batch into ones of about `bytes` bytes. @throws Malformed */
export function * cutBatch (file: RandomAccess, message: ArrowMessage, fields: Field[], bytes: number): Generator<Cut> {
  if (message.head.kind !== 'batch') return
  const { batch } = message.head
  const columns = columnsOf(batch, fields, bodyOf(file, message))
  const usual = Math.max(STEP_ROWS, Math.floor(bytes / (message.body / batch.rows) / STEP_ROWS) * STEP_ROWS)
  for (let from = 0; from < batch.rows;) {
    let step = usual
    const size = (): number => columns.reduce((total, column) => total + sizeOf(column, from, Math.min(batch.rows, from + step)), 0)
    // Texts are not of one length everywhere.
    while (step > STEP_ROWS && size() > bytes * 2) step = Math.ceil(step / 2 / STEP_ROWS) * STEP_ROWS
    const to = Math.min(batch.rows, from + step)
    yield { from, to, pieces: piecesOf(columns, from, to) }
    from = to
  }
}

function sizeOf (column: Column, from: number, to: number): number {
  const width = fixedWidth(column.type)
  if (width != null) return (to - from) * width
  if (!isBytes(column.type)) return (to - from) / 8
  return readOffset(column, to) - readOffset(column, from) + (to - from) * offsetWidth(column.type)
}

function piecesOf (columns: Column[], from: number, to: number): Piece[] {
  const nodes: Array<[number, number]> = []
  const ranges: Array<{ offset: number, length: number }> = []
  for (const column of columns) {
    const { type, validity, values, offsets } = column
    const range = (region: Column['values'], begin: number, end: number): void => {
      if (begin < 0 || end < begin || end > region!.length) throw new Malformed('offsets of a column point outside of its values')
      ranges.push({ offset: region!.start! + begin, length: end - begin })
    }
    nodes.push([to - from, DataType.isNull(type) ? to - from : validity == null ? 0 : zeros(validity.read(from >> 3, (to + 7) >> 3), to - from)])
    if (DataType.isNull(type)) continue
    if (validity == null) ranges.push({ offset: 0, length: 0 })
    else range(validity, from >> 3, (to + 7) >> 3)
    const width = fixedWidth(type)
    if (width != null) range(values, from * width, to * width)
    else if (!isBytes(type)) range(values, from >> 3, (to + 7) >> 3)
    else {
      range(offsets, from * offsetWidth(type), (to + 1) * offsetWidth(type))
      range(values, readOffset(column, from), readOffset(column, to))
    }
  }
  const { message } = batchMessage(to - from, nodes, ranges.map(({ length }) => length), new Map([[CUT, '1']]))
  const pieces: Piece[] = [{ bytes: message }]
  for (const range of ranges) {
    if (range.length > 0) pieces.push(range)
    const rest = padded(range.length) - range.length
    if (rest > 0) pieces.push({ bytes: new Uint8Array(rest) })
  }
  return pieces
}

/** Bits not set among the first `count`. */
function zeros (bytes: Uint8Array, count: number): number {
  let total = 0
  for (let bit = 0; bit < count; bit++) total += 1 - ((bytes[bit >> 3] as number) >> (bit & 7) & 1)
  return total
}
