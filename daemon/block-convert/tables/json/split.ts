/** Cuts NDJSON and JSON files into blocks: whole lines, or elements of an array with brackets of our own around them. */
import { isUtf8 } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockTarget, Input, SplitItem } from '../../index.ts'
import { badInput, RecordProver } from './prove.ts'
import { ElementScanner, LineScanner, MORE } from './scan.ts'
import type { TableParameters } from '../schema.ts'
import { TextBlock, type BlockForm } from '../text-block.ts'
import { textBuffer, TextFile, type TextBuffer } from '../text-file.ts'

const ARRAY: BlockForm = { prefix: Buffer.from('[') }
const PLAIN: BlockForm = { prefix: new Uint8Array(0) }
const CLOSE = Buffer.from(']')
const COMMA = Buffer.from(',')
const NEWLINE = Buffer.from('\n')

/**
 * Yields blocks of about `target.bytes` (at least one record each), every value proved against its column's type, which becomes wider
 * where it must. An empty input has no rows. Throws ConversionError `contradiction`, `bad-input`, `unsupported` or `input-changed`.
 */
export async function * splitJson (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<SplitItem> {
  const { format } = params.source
  if (format !== 'ndjson' && format !== 'json') throw new ConversionError('bad-parameters', 'source.format must be ndjson or json for a JSON input', { key: 'source.format' })
  const cutter = new Cutter(new RecordProver(params, format === 'ndjson'), target.bytes)
  const buffer = textBuffer()
  for (const [number, input] of inputs.entries()) yield * cutter.cut(input, number, buffer, format === 'ndjson')
  yield * cutter.close()
  for (const note of cutter.prover.notes()) yield { note }
}

class Cutter {
  readonly prover: RecordProver
  readonly #target: number
  #block: TextBlock | undefined
  /** A record of the block has numbers that the engine must not read as such. */
  #hard = false
  #index = 0

  constructor (prover: RecordProver, target: number) {
    this.prover = prover
    this.#target = target
  }

  async * cut (input: Input, number: number, buffer: TextBuffer, lines: boolean): AsyncGenerator<SplitItem> {
    const { prover } = this
    const file = await TextFile.open(input, buffer)
    try {
      const scanner = lines ? new LineScanner(prover, input.path) : new ElementScanner(prover, input.path)
      await file.more()
      if (file.end >= 3 && file.bytes[0] === 0xef && file.bytes[1] === 0xbb && file.bytes[2] === 0xbf) file.at = 3
      // What was found and is not in the block yet: positions in the buffer.
      let from = -1
      let line = 0
      for (;;) {
        const bytes = Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.length)
        let next: number
        while ((next = scanner.next(bytes, file.at, file.end, file.last)) !== MORE && !scanner.over) {
          file.at = next
          if (prover.widenings.some) yield prover.widenings.take()
          if (from < 0) {
            from = scanner.start
            line = scanner.line
            const form = scanner instanceof ElementScanner && scanner.array ? ARRAY : PLAIN
            if (this.#block?.takes(form) === false) yield * this.close()
            this.#begin(form, lines)
          }
          const block = this.#block!
          block.records++
          if (prover.hard) this.#hard = true
          prover.hard = false
          if (block.size + next - from >= this.#target) {
            this.#add(bytes.subarray(from, next), file.offset + from, { input: number, path: input.path, line })
            from = -1
            yield * this.close()
          }
        }
        if (from >= 0) this.#add(bytes.subarray(from, file.at), file.offset + from, { input: number, path: input.path, line })
        if (scanner.over) break
        line = scanner.moved(file.at)
        // Between this record and the next, if that is of this block, is something that belongs to it.
        if (from >= 0) from = 0
        await file.more()
      }
      file.at = file.end
      await file.verify()
      if (this.#block?.crowded === true) yield * this.close()
    } finally {
      await file.close()
    }
  }

  /** The block is to take records of an input: it goes on, with something between, or begins. */
  #begin (form: BlockForm, lines: boolean): void {
    const block = this.#block
    if (block == null) this.#block = new TextBlock(form)
    else if (lines) block.endLine()
    else block.insert(form === ARRAY ? COMMA : NEWLINE)
  }

  #add (bytes: Buffer, offset: number, origin: { input: number, path: string, line: number }): void {
    if (!isUtf8(bytes)) {
      let { line } = origin
      let at = 0
      for (let next = 0; at < bytes.length && isUtf8(bytes.subarray(at, next = bytes.indexOf(10, at) + 1 || bytes.length)); at = next) line++
      throw badInput('it is not UTF-8 text; say what it is with --set encoding=..., for instance windows-1252', { path: origin.path, line })
    }
    this.#block!.range(bytes, offset, origin)
  }

  * close (): Generator<BlockRecipe> {
    const block = this.#block
    if (block == null) return
    if (block.form === ARRAY) block.insert(CLOSE)
    const recipe = block.recipe(this.#index++)
    if (this.#hard) recipe.slice = { ...recipe.slice, numbers: 'exact' }
    this.#hard = false
    this.#block = undefined
    yield recipe
  }
}
