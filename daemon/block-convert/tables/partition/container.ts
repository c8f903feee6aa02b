/**
 * The result of one block of a partitioned conversion: the parts, each a whole small file of the target's type, one after the other; then
 * the index of them as JSON, its length (32 bits, little-endian) and a mark. The order is that in which the keys first appear.
 *
 *     part part ... [{"key":["2024",null],"rows":3,"size":120},...] length mark
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { RandomAccess } from '../random-access.ts'
import type { TableParameters } from '../schema.ts'
import { INDEX_BYTES_MAX, PARTITIONS_MAX } from './constants.ts'
import { keyChecker, type Key } from './key.ts'

const MARK = Buffer.from('WEFTPT1\n', 'latin1')
const TAIL_BYTES = 4 + MARK.length
const [QUOTE, BACKSLASH, COMMA, OPEN_LIST, OPEN_OBJECT] = Buffer.from('"\\,[{')

export interface PartEntry {
  key: Key
  rows: number
  /** Bytes. */
  size: number
}

export interface Part extends PartEntry {
  /** Where its bytes begin. */
  offset: number
}

/** What follows the parts. Throws ConversionError `unsupported` if the keys are too long to be written down. */
export function containerTail (entries: PartEntry[]): Uint8Array {
  const index = Buffer.from(JSON.stringify(entries.map(({ key, rows, size }) => ({ key, rows, size }))))
  if (index.length > INDEX_BYTES_MAX) throw new ConversionError('unsupported', `the output cannot be divided that way: the keys of a block's ${entries.length} partitions have ${index.length} bytes, at most ${INDEX_BYTES_MAX} are possible; divide by columns with shorter values`, { bytes: index.length })
  const length = Buffer.alloc(4)
  length.writeUInt32LE(index.length)
  return Buffer.concat([index, length, MARK])
}

/** An open container. Parts are read whole: each is at most what one block became. */
export class Container {
  readonly parts: Part[]
  readonly #file: RandomAccess

  /** Reads and checks the index: keys that are proper and distinct, sizes that fill the file. Throws ConversionError `bad-input`. */
  constructor (source: BlockSource, params: TableParameters) {
    this.#file = new RandomAccess(source)
    try {
      this.parts = readIndex(this.#file, params)
    } catch (error) {
      this.#file.close()
      throw error
    }
  }

  bytes ({ offset, size }: Part): BlockSource {
    return { bytes: this.#file.read(offset, size) }
  }

  close (): void {
    this.#file.close()
  }
}

function readIndex (file: RandomAccess, { columns, partition = [] }: TableParameters): Part[] {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `${file.name()} is no result of a partitioned conversion: ${what}`)
  if (file.size < TAIL_BYTES) throw bad('it is cut off')
  const tail = Buffer.from(file.read(file.size - TAIL_BYTES, TAIL_BYTES))
  if (!tail.subarray(4).equals(MARK)) throw bad('it does not end with the mark')
  const length = tail.readUInt32LE(0)
  const end = file.size - TAIL_BYTES - length
  if (length > INDEX_BYTES_MAX || end < 0) throw bad(`its index cannot have ${length} bytes`)
  const index = Buffer.from(file.read(end, length))
  // Of each part the brackets of itself and its key, and the commas before it, between its three fields and in its key; and those of the list.
  if (countMarks(index) > 1 + PARTITIONS_MAX * (4 + partition.length)) throw bad(`its index holds more than ${PARTITIONS_MAX} parts`)
  const entries = parse(index.toString('utf8'))
  if (entries == null) throw bad('its index is not JSON')
  if (entries.length > PARTITIONS_MAX) throw bad(`it has ${entries.length} parts`)
  const proper = keyChecker(partition.map(name => columns.find(column => column.name === name)!))
  const seen = new Set<string>()
  let offset = 0
  const parts = entries.map((entry, i) => {
    const { key, rows, size } = (entry ?? {}) as Partial<PartEntry>
    if (!Array.isArray(key) || key.length !== partition.length || !key.every(text => text === null || typeof text === 'string')) throw bad(`part ${i + 1} has no key`)
    if (!proper(key)) throw bad(`part ${i + 1} has the key ${JSON.stringify(key).slice(0, 100)}, which is no value of its columns`)
    const name = JSON.stringify(key)
    if (seen.has(name)) throw bad(`two parts have the key ${name.slice(0, 100)}`)
    seen.add(name)
    // Positive: a part without rows would be a folder without a reason.
    if (!Number.isSafeInteger(rows) || rows! < 1 || !Number.isSafeInteger(size) || size! < 1) throw bad(`part ${i + 1} has no rows or no bytes`)
    offset += size!
    return { key, rows: rows!, size: size!, offset: offset - size! }
  })
  if (offset !== end) throw bad(`its parts have ${offset} bytes instead of ${end}`)
  return parts
}

/** Opening brackets and commas outside of texts, of which every JSON value but one costs one: what parsing would take, before it is parsed. */
function countMarks (json: Uint8Array): number {
  let marks = 0
  let inside = false
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === QUOTE) inside = !inside
    else if (inside) at += byte === BACKSLASH ? 1 : 0
    else if (byte === COMMA || byte === OPEN_LIST || byte === OPEN_OBJECT) marks++
  }
  return marks
}

function parse (text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    // Told by the caller, who knows the file.
    return undefined
  }
}
