/** A block of a text table while it is being cut: byte ranges of one or several inputs, literal bytes between them, and their digest. */
import { createHash } from 'node:crypto'
import { BLOCK_PARTS_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { BlockRecipe, RecipePart } from '../index.ts'

const LF = 10
const CR = 13
const NEWLINE = new Uint8Array([LF])

/** What all records of a block have in common. */
export interface BlockForm {
  /** Bytes the block begins with. */
  prefix: Uint8Array
  slice?: Record<string, unknown>
}

/** Where the bytes come from that are added, for messages and for the recipe. */
export interface Origin { input: number, path: string, line: number }

export class TextBlock {
  records = 0
  /** Bytes added, the prefix not counted. */
  size = 0
  /** See Scanner.mixedEnds. */
  mixedEnds = false
  readonly form: BlockForm
  readonly #parts: RecipePart[] = []
  readonly #hash = createHash('sha256')
  #origin: Origin | undefined
  #lastByte = LF

  constructor (form: BlockForm) {
    this.form = form
    if (form.prefix.length > 0) this.#literal(form.prefix)
  }

  /** No further part fits: a recipe stays small, as it is kept in memory and in the journal. */
  get crowded (): boolean {
    return this.#parts.length >= BLOCK_PARTS_MAX
  }

  /** Whether records of this form may follow. */
  takes (form: BlockForm): boolean {
    return Buffer.compare(this.form.prefix, form.prefix) === 0 && JSON.stringify(this.form.slice) === JSON.stringify(form.slice)
  }

  /** Adds the range of an input that begins at file position `offset` and whose bytes are these. */
  range (bytes: Uint8Array, offset: number, origin: Origin): void {
    if (bytes.length === 0) return
    if (this.size === 0 && this.form.prefix.length === 0) refuseByteOrderMark(bytes, origin)
    this.#origin ??= origin
    const before = this.#parts.at(-1)
    const adjacent = before != null && 'input' in before && before.input === origin.input && before.offset + before.length === offset
    if (adjacent) before.length += bytes.length
    else {
      if (before != null && this.#lastByte === CR && bytes[0] === LF) {
        // Two line ends that became neighbours are not one.
        this.#literal(NEWLINE)
        this.size++
      }
      this.#parts.push({ input: origin.input, offset, length: bytes.length })
    }
    this.#hash.update(bytes)
    this.size += bytes.length
    this.#lastByte = bytes[bytes.length - 1]!
  }

  /** Adds bytes that are in no input. */
  insert (bytes: Uint8Array): void {
    this.#literal(bytes)
    this.size += bytes.length
    this.#lastByte = bytes[bytes.length - 1]!
  }

  /** The record before ends here, whether its input had an end for it or not. */
  endLine (): void {
    if (this.size > 0 && this.#lastByte !== LF && this.#lastByte !== CR) this.insert(NEWLINE)
  }

  recipe (index: number): BlockRecipe {
    const { input = 0, line = 1 } = this.#origin ?? {}
    const recipe: BlockRecipe = { index, parts: this.#parts, size: this.form.prefix.length + this.size, digest: this.#hash.digest(), units: this.records, origin: { input, line } }
    const slice = { ...this.form.slice, ...(this.mixedEnds ? { lineEnds: 'mixed' } : {}) }
    if (Object.keys(slice).length > 0) recipe.slice = slice
    return recipe
  }

  #literal (bytes: Uint8Array): void {
    this.#parts.push({ bytes })
    this.#hash.update(bytes)
  }
}

/** Readers drop a byte order mark where a file begins, and a block is a file of its own. */
function refuseByteOrderMark (bytes: Uint8Array, { path, line }: Origin): void {
  if (bytes[0] !== 0xef || bytes[1] !== 0xbb || bytes[2] !== 0xbf) return
  throw new ConversionError('unsupported', `'${path}' line ${line}: a record begins with a byte order mark (U+FEFF); remove it, or put the field in quotes`, { path, line })
}
