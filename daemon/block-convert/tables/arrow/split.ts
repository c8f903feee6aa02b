/**
 * Cuts Arrow files and streams into blocks without unpacking anything: a block is an IPC stream of its own, made of the schema, the
 * dictionaries in force and the bytes of whole record batches. A record batch larger than wanted is cut (cut.ts), or, where that cannot be
 * done, becomes several blocks of the same bytes, each for some of its rows.
 */
import { createHash, type Hash } from 'node:crypto'
import { DataType } from 'apache-arrow'
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockTarget, Input, RecipePart } from '../../index.ts'
import { inputChanged } from '../../source.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column, TableParameters } from '../schema.ts'
import { parseType, typeName } from '../types.ts'
import { unifyTypes } from '../unify.ts'
import { cutBatch, isCuttable, type Piece } from './cut.ts'
import { END_OF_STREAM, guarded, openArrow, schemaMessage, type ArrowContents, type ArrowMessage } from './container.ts'
import { stagedType } from './staged.ts'
import { DICTIONARY_BYTES_MAX, READ_BYTES, SLICES_MAX } from './limits.ts'
import { columnTypeOf } from './types.ts'

/**
 * Yields the blocks of all inputs in order. Small record batches are gathered up to `target.bytes`; inputs without rows give no block.
 *
 * @throws ConversionError `bad-input`, `unsupported`, `input-unreadable` or `input-changed`
 */
export async function * splitArrow (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  let index = 0
  for (const [i, input] of inputs.entries()) {
    const file = new RandomAccess({ path: input.path, size: input.size })
    try {
      if (file.size !== input.size) throw inputChanged(input.path, `${input.size} bytes became ${file.size}`)
      if (file.mtimeMs !== input.mtimeMs) throw inputChanged(input.path, 'it was modified')
      const contents = openArrow(file)
      const present = presentColumns(contents, params.columns, input.path)
      const slice = present == null ? undefined : { present }
      for (const block of new Splitter(file, contents, i, target.bytes).blocks()) {
        const { rows, ...recipe } = block
        yield { ...recipe, index: index++, ...(rows == null && slice == null ? {} : { slice: { ...slice, ...(rows == null ? {} : { rows }) } }) }
      }
    } finally {
      file.close()
    }
  }
}

/** Positions of an input's columns among all of them, if they are not the same. */
function presentColumns ({ schema }: ArrowContents, columns: Column[], path: string): number[] | undefined {
  const positions = schema.fields.map(field => {
    const at = columns.findIndex(column => column.name === field.name)
    if (at < 0) throw inputChanged(path, `it has a column '${field.name}' now`)
    const wanted = columns[at]!.type
    if (!DataType.isNull(field.type)) {
      const own = typeName(stagedType(columnTypeOf(field), field.type as DataType, parseType(wanted)))
      if (own !== wanted && unifyTypes(own, wanted) !== wanted) throw inputChanged(path, `its column '${field.name}' is ${own} now`)
    }
    return at
  })
  if (new Set(positions).size < positions.length) throw new ConversionError('unsupported', `${path} has two columns of one name; rename one`, { path })
  return positions.length === columns.length && positions.every((at, i) => at === i) ? undefined : positions
}

type Block = Omit<BlockRecipe, 'index' | 'slice'> & { rows?: [number, number] }
interface Range { offset: number, length: number }

class Splitter {
  readonly #file: RandomAccess
  readonly #contents: ArrowContents
  readonly #input: number
  readonly #target: number
  readonly #schema: Uint8Array
  readonly #buffer: Uint8Array
  /** Where the dictionaries in force are, by id. */
  readonly #dictionaries = new Map<string, Range[]>()
  #gathered: Range[] = []
  #bytes = 0
  #rows = 0
  /** Rows before the blocks gathered. */
  #row = 0

  constructor (file: RandomAccess, contents: ArrowContents, input: number, target: number) {
    this.#file = file
    this.#contents = contents
    this.#input = input
    this.#target = target
    this.#schema = schemaMessage(contents.schema.fields)
    this.#buffer = new Uint8Array(Math.min(READ_BYTES, file.size))
  }

  * blocks (): Generator<Block> {
    for (const message of this.#contents.messages()) {
      const { head } = message
      if (head.kind === 'dictionary') {
        // Rows so far know the old values only.
        yield * this.#flush()
        this.#dictionary(message, String(head.id), head.delta)
      } else if (head.kind === 'batch' && head.batch.rows > 0) {
        const bytes = message.metadata + message.body
        if (this.#rows > 0 && this.#bytes + bytes > this.#wanted()) yield * this.#flush()
        if (bytes > this.#wanted()) yield * isCuttable(message, this.#contents.schema.fields) ? this.#cuts(message, head.batch.rows) : this.#slices(message, head.batch.rows, bytes)
        else {
          this.#gathered.push({ offset: message.offset, length: bytes })
          this.#bytes += bytes
          this.#rows += head.batch.rows
        }
      }
    }
    yield * this.#flush()
  }

  /** Blocks grow with the dictionaries each of them carries. */
  #wanted (): number {
    let bytes = 0
    for (const ranges of this.#dictionaries.values()) for (const { length } of ranges) bytes += length
    return Math.max(this.#target, bytes)
  }

  #dictionary (message: ArrowMessage, id: string, delta: boolean): void {
    const range = { offset: message.offset, length: message.metadata + message.body }
    const before = this.#dictionaries.get(id)
    if (delta && before != null) before.push(range)
    else this.#dictionaries.set(id, [range])
    if (this.#wanted() > Math.max(this.#target, DICTIONARY_BYTES_MAX)) throw new ConversionError('unsupported', `${this.#file.name()}: its dictionaries have more than ${DICTIONARY_BYTES_MAX} bytes; write it again without dictionaries`, { path: this.#file.name() })
  }

  * #flush (): Generator<Block> {
    if (this.#rows === 0) return
    yield { ...this.#make(this.#gathered), units: this.#rows, origin: { input: this.#input, line: this.#row + 1 } }
    this.#row += this.#rows
    this.#gathered = []
    this.#bytes = this.#rows = 0
  }

  * #cuts (message: ArrowMessage, rows: number): Generator<Block> {
    const cuts = cutBatch(this.#file, message, this.#contents.schema.fields, this.#wanted())
    for (;;) {
      const next = guarded(this.#file, () => cuts.next())
      if (next.done === true) break
      const { from, to, pieces } = next.value
      yield { ...this.#make(pieces), units: to - from, origin: { input: this.#input, line: this.#row + from + 1 } }
    }
    this.#row += rows
  }

  * #slices ({ offset }: ArrowMessage, rows: number, bytes: number): Generator<Block> {
    // Read and hashed once, whatever the number of slices.
    const block = this.#make([{ offset, length: bytes }])
    const slices = Math.min(Math.ceil(bytes / this.#wanted()), SLICES_MAX, rows)
    for (let i = 0; i < slices; i++) {
      const from = Math.floor(rows * i / slices)
      const to = Math.floor(rows * (i + 1) / slices)
      const recipe = { ...block, units: to - from, origin: { input: this.#input, line: this.#row + from + 1 } }
      yield slices === 1 ? recipe : { ...recipe, rows: [from, to] }
    }
    this.#row += rows
  }

  #make (batches: Piece[]): { parts: RecipePart[], size: number, digest: Uint8Array } {
    const hash = createHash('sha256')
    const parts: RecipePart[] = []
    let size = 0
    for (const piece of [{ bytes: this.#schema }, ...[...this.#dictionaries.values()].flat(), ...batches, { bytes: END_OF_STREAM }]) {
      const last = parts.at(-1)
      if ('bytes' in piece) {
        hash.update(piece.bytes)
        size += piece.bytes.length
        if (last != null && 'bytes' in last) last.bytes = Buffer.concat([last.bytes, piece.bytes])
        else parts.push({ bytes: piece.bytes })
        continue
      }
      const { offset, length } = piece
      this.#hash(hash, offset, length)
      size += length
      if (last != null && 'offset' in last && last.offset + last.length === offset) last.length += length
      else parts.push({ input: this.#input, offset, length })
    }
    return { parts, size, digest: new Uint8Array(hash.digest()) }
  }

  #hash (hash: Hash, offset: number, length: number): void {
    for (let done = 0; done < length;) {
      const piece = this.#buffer.subarray(0, Math.min(this.#buffer.length, length - done))
      if (this.#file.readInto(piece, offset + done) < piece.length) throw inputChanged(this.#file.name(), 'it became shorter')
      hash.update(piece)
      done += piece.length
    }
  }
}
