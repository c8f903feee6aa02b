/**
 * The always-on check of an Arrow result. It goes through the whole structure: the schema byte for byte, every message's metadata exactly
 * as we write it, buffers large enough for their rows, offsets that stay inside, counts of nulls that are those of the bitmaps; of a whole
 * file also its index. What the values are is the comparison's task (distance.ts).
 */
import { Schema } from 'apache-arrow'
import { FileBlock } from 'apache-arrow/ipc/metadata/file'
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { RandomAccess } from '../random-access.ts'
import type { TableParameters } from '../schema.ts'
import { batchMessage } from './batch.ts'
import { bodyOf } from './body.ts'
import { END_OF_STREAM, FILE_START, guarded, malformed, readMessage, schemaMessage, type ArrowMessage } from './container.ts'
import { columnsOf, isBytes, offsetWidth, type Column } from './layout.ts'
import { BLOCKS_MAX } from './limits.ts'
import { arrowForm, fileEnd } from './merge.ts'
import type { BatchHead } from './metadata.ts'
import { arrowFields } from './types.ts'

/** Offsets and bits looked at together, bytes. */
const STEP_BYTES = 1 << 20

/** @throws ConversionError `bad-input` saying what is wrong */
export function inspectArrow (source: BlockSource, params: TableParameters, whole: boolean): { units: number } {
  const file = new RandomAccess(source)
  try {
    const fields = arrowFields(params.columns)
    const container = whole && arrowForm(params).container === 'file' ? FILE_START : new Uint8Array(0)
    const start = Buffer.concat([container, schemaMessage(fields)])
    requireBytes(file, 0, start, 'does not begin with the schema it should have')
    const blocks: FileBlock[] = []
    let offset = start.length
    let rows = 0
    for (;;) {
      const message = readMessage(file, offset)
      if (message == null) break
      if (message.head.kind !== 'batch') throw malformed(file, `it has a ${message.head.kind} among its rows`)
      const { batch } = message.head
      guarded(file, () => {
        requirePlain(file, message, batch)
        for (const column of columnsOf(batch, fields, bodyOf(file, message))) checkColumn(file, column)
      })
      rows += batch.rows
      offset += message.metadata + message.body
      if (container.length > 0 && blocks.push(new FileBlock(message.metadata, message.body, offset - message.metadata - message.body)) > BLOCKS_MAX) throw malformed(file, `it has more than ${BLOCKS_MAX} record batches`)
    }
    const end = Buffer.concat([END_OF_STREAM, container.length > 0 ? fileEnd(new Schema(fields), blocks) : new Uint8Array(0)])
    requireBytes(file, offset, end, 'does not end as it should')
    if (offset + end.length !== file.size) throw malformed(file, `it goes on for ${file.size - offset - end.length} bytes after its end`)
    return { units: rows }
  } finally {
    file.close()
  }
}

function requireBytes (file: RandomAccess, offset: number, bytes: Uint8Array, what: string): void {
  if (offset + bytes.length > file.size || Buffer.compare(file.read(offset, bytes.length), bytes) !== 0) throw new ConversionError('bad-input', `${file.name()} ${what}`)
}

/** The metadata says nothing but what must be said: no compression, no metadata of its own, no bytes that belong to no column. */
function requirePlain (file: RandomAccess, { offset, metadata, body }: ArrowMessage, batch: BatchHead): void {
  const pairs = (values: Float64Array): Array<[number, number]> => Array.from({ length: values.length / 2 }, (_, i) => [values[i * 2] as number, values[i * 2 + 1] as number])
  const wanted = batchMessage(batch.rows, pairs(batch.nodes), pairs(batch.buffers).map(([, length]) => length))
  if (batch.rows === 0 || wanted.body !== body || metadata !== wanted.message.length || Buffer.compare(file.read(offset, metadata), wanted.message) !== 0) throw malformed(file, `the record batch at byte ${offset} is not written as it should be`)
}

function checkColumn (file: RandomAccess, column: Column): void {
  const { type, rows, nulls, validity } = column
  if (validity != null && rows - ones(validity.read(0, (rows + 7) >> 3), rows) !== nulls) throw malformed(file, `a column has another number of nulls than the ${nulls} it announces`)
  if (column.offsets != null && offsetWidth(type) === 4) {
    const end = isBytes(type) ? column.values!.length : column.children[0]!.rows
    let before = 0
    for (let from = 0; from < rows + 1; from += STEP_BYTES / 4) {
      const to = Math.min(rows + 1, from + STEP_BYTES / 4)
      const bytes = column.offsets.read(from * 4, to * 4)
      const offsets = new Int32Array(bytes.buffer, bytes.byteOffset, to - from)
      if (from === 0 && offsets[0] !== 0) throw malformed(file, 'offsets of a column do not begin at 0')
      for (const value of offsets) {
        if (value < before) throw malformed(file, 'offsets of a column go backwards')
        before = value
      }
    }
    if (before !== end) throw malformed(file, 'offsets of a column do not end where its values do')
  }
  for (const child of column.children) checkColumn(file, child)
}

/** Bits set among the first `count`. */
function ones (bytes: Uint8Array, count: number): number {
  let total = 0
  for (let i = 0; i < count >> 3; i++) total += ONES[bytes[i] as number] as number
  for (let bit = count & ~7; bit < count; bit++) total += (bytes[bit >> 3] as number) >> (bit & 7) & 1
  return total
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length)
