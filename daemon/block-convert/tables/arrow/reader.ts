/**
 * The independent reader of Arrow blocks: flechette decodes the messages and buffers, by other code than the splitter and the engine's
 * loader; the values are made canonical here (values.ts).
 */
import { CompressionType, setCompressionCodec, tableFromIPC, type Batch as FlechetteBatch, type CompressionType_ } from '@uwdata/flechette'
import type { DataType, Field } from 'apache-arrow'
import type { BlockSource } from '../../index.ts'
import { coercer } from '../coerce.ts'
import { RandomAccess } from '../random-access.ts'
import { BatchBuilder, type Batch } from '../readers/batch.ts'
import type { Column } from '../schema.ts'
import { isNested, parseType, typeName } from '../types.ts'
import { nestedText, type Parts } from '../values.ts'
import { bodyOf } from './body.ts'
import { unpack } from './compression.ts'
import { guarded, malformed, openArrow, schemaMessage, type ArrowMessage } from './container.ts'
import { columnsOf, offsetWidth, type Column as ArrowColumn } from './layout.ts'
import { getterOf, type Getter } from './reader-values.ts'
import { stagedType } from './staged.ts'
import { columnTypeOf } from './types.ts'

/** Bytes of record batches decoded at once. */
const GROUP_BYTES = 8 * 1024 * 1024

/** Values as they are stored: no number is rounded, no date made an object. */
const OPTIONS = { useBigInt: true, useBigIntTimestamp: true, useDecimalInt: true, useDate: false, useMap: false, useProxy: false }

const encode = (): never => { throw new Error('nothing is compressed here') }
for (const [codec, type] of [['lz4', CompressionType.LZ4_FRAME], ['zstd', CompressionType.ZSTD]] as const) {
  setCompressionCodec(type as CompressionType_, { encode, decode: ((bytes: Uint8Array, size: number) => unpack(codec, bytes, size)) as (bytes: Uint8Array) => Uint8Array })
}

export interface ArrowReaderOptions {
  rows?: [number, number]
  present?: number[]
  side?: 'source' | 'result'
}

/** @throws ConversionError `bad-input` or `unsupported` */
export function * readArrow (source: BlockSource, columns: Column[], { rows, present, side }: ArrowReaderOptions = {}): Generator<Batch> {
  const file = new RandomAccess(source)
  try {
    const contents = openArrow(file)
    const { fields } = contents.schema
    const positions = present ?? columns.map((_, i) => i)
    if (fields.length !== positions.length) throw malformed(file, `it has ${fields.length} columns instead of ${positions.length}`)
    const wanted = positions.map(at => columns[at]!)
    const readers = fields.map((field, i) => columnReader(field, wanted[i]!, side ?? 'source'))
    const builder = new BatchBuilder(columns.length, rows)
    const schema = schemaMessage(fields)
    for (const { messages, rows: counts } of groups(file, contents.messages(), fields)) {
      const table = decode(file, [schema, ...messages])
      for (const [k, count] of counts.entries()) {
        // Metadata that is not sound may say one thing here and another there.
        if (table.some(pieces => pieces[k]?.length !== count)) throw malformed(file, 'its record batches are not as long as they say')
        const getters = guarded(file, () => readers.map((reader, i) => reader(table[i]![k]!)))
        yield * gather(file, builder, getters, positions, count)
        if (builder.left === 0) break
      }
    }
    if (builder.rows > 0) yield filled(builder, positions)
  } finally {
    file.close()
  }
}

/** Messages of record batches with the dictionaries before them, some at a time. */
function * groups (file: RandomAccess, messages: Iterable<ArrowMessage>, fields: Field[]): Generator<{ messages: Uint8Array[], rows: number[] }> {
  const dictionaries: Uint8Array[] = []
  let group: Uint8Array[] = []
  let rows: number[] = []
  let bytes = 0
  for (const message of messages) {
    const { head } = message
    if (head.kind === 'schema') continue
    // The library trusts what it reads: sizes and places are looked at before.
    const columns = head.kind === 'batch' ? guarded(file, () => columnsOf(head.batch, fields, bodyOf(file, message))) : []
    const whole = wholeMessage(file, message)
    for (const column of columns) if (column.base > 0) rebase(whole, column, message.offset)
    group.push(whole)
    bytes += whole.length
    if (head.kind === 'dictionary') dictionaries.push(whole)
    else rows.push(head.batch.rows)
    if (head.kind === 'dictionary' || bytes < GROUP_BYTES) continue
    yield { messages: group, rows }
    group = [...dictionaries]
    rows = []
    bytes = 0
  }
  if (rows.length > 0) yield { messages: group, rows }
}

/** The message alone, its body where typed arrays can be laid over it. */
function wholeMessage (file: RandomAccess, { offset, metadata, body }: ArrowMessage): Uint8Array {
  const shift = (8 - metadata % 8) % 8
  const bytes = new Uint8Array(shift + metadata + body).subarray(shift)
  if (file.readInto(bytes, offset) < bytes.length) throw malformed(file, 'it became shorter while it was read')
  return bytes
}

/** Offsets of a record batch that was cut out of another begin somewhere; the library wants them to be those of its bytes. */
function rebase (message: Uint8Array, { type, offsets, base, rows }: ArrowColumn, offset: number): void {
  const at = message.byteOffset + (offsets!.start as number) - offset
  if (offsetWidth(type) === 8) {
    const values = new BigInt64Array(message.buffer, at, rows + 1)
    for (let i = 0; i <= rows; i++) values[i]! -= BigInt(base)
    return
  }
  const values = new Int32Array(message.buffer, at, rows + 1)
  for (let i = 0; i <= rows; i++) values[i]! -= base
}

function decode (file: RandomAccess, messages: Uint8Array[]): Array<ReadonlyArray<FlechetteBatch<unknown>>> {
  return guarded(file, () => tableFromIPC(messages, OPTIONS).children.map(column => column.data as ReadonlyArray<FlechetteBatch<unknown>>))
}

/** Gives for one record batch's column what reads its values. */
function columnReader (field: Field, { name, type }: Column, side: 'source' | 'result'): (batch: FlechetteBatch<unknown>) => Getter {
  const wanted = parseType(type)
  // A result is stored as it was wanted; a source may be narrower than what all inputs together need.
  const own = side === 'result' ? wanted : stagedType(columnTypeOf(field), field.type as DataType, wanted)
  const change = side === 'result' || typeName(own) === type || field.type.typeId === NULL ? undefined : coercer(own, wanted)
  return batch => {
    const get = getterOf(batch, own, name)
    if (change == null && !isNested(own)) return get
    return row => {
      const value = change == null ? get(row) : change(get(row)) as Parts
      return Array.isArray(value) ? nestedText(value) : value
    }
  }
}

/** The library's number of the type of nulls. */
const NULL = 1

function * gather (file: RandomAccess, builder: BatchBuilder, getters: Getter[], positions: number[], rows: number): Generator<Batch> {
  let at = Math.min(rows, builder.skip)
  builder.skip -= at
  while (at < rows && builder.left > 0) {
    const count = Math.min(rows - at, builder.capacity - builder.rows, builder.left)
    guarded(file, () => {
      for (const [i, get] of getters.entries()) {
        const column = builder.columns[positions[i]!]!
        for (let k = 0; k < count; k++) column[builder.rows + k] = get(at + k)
      }
    })
    at += count
    builder.rows += count
    builder.left -= count
    if (builder.full()) yield filled(builder, positions)
  }
}

/** What a block lacks is NULL. */
function filled (builder: BatchBuilder, positions: number[]): Batch {
  const batch = builder.take()
  if (positions.length < batch.columns.length) {
    const has = new Set(positions)
    for (const [i, column] of batch.columns.entries()) if (!has.has(i)) column.fill(null)
  }
  return batch
}
