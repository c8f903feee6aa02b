/**
 * Cuts text tables into blocks at record borders, while a scanner proves every record and the digests are computed. Small inputs that
 * follow one another share a block.
 */
import { EDITS_PER_SCAN } from './constants.ts'
import { requireUtf8 } from './csv/faults.ts'
import type { BlockTarget, Input, Note, SplitItem } from '../index.ts'
import { TextBlock, type BlockForm } from './text-block.ts'
import { textBuffer, TextFile, type TextBuffer } from './text-file.ts'

/** Bytes [from, to) of what was scanned are left out of the block, `insert` takes their place. */
export interface Edit { from: number, to: number, insert?: Uint8Array }

/** Consumes whole records; see CsvScanner and NdjsonScanner. One per input. */
export interface Scanner {
  /** Records seen so far. */
  records: number
  /** 1-based line of the next record. */
  line: number
  /** Line ends were seen that the engine would misread. Reset by the caller. Of CsvScanner only. */
  mixedEnds?: boolean
  /** Changes of the bytes scanned by the last call, in order and apart. It stops early at EDITS_PER_SCAN of them. */
  edits?: Edit[]
  scan: (bytes: Uint8Array, from: number, end: number, until: number, last: boolean) => number
  /** What to say at the end of the input. */
  notes?: () => Note[]
}

export interface TextSplit {
  /** Bytes every block begins with, unless `preamble` gives others. */
  prefix: Uint8Array
  /** A fresh scanner for one input; called after its preamble. */
  scanner: (input: Input) => Scanner
  /**
   * Consumes what comes before the first record (a header); returns where the records begin, or -1 if more bytes are needed. `form`: of
   * this input's blocks.
   */
  preamble: (input: Input, bytes: Uint8Array, from: number, end: number, last: boolean) => { next: number, lines: number, form?: BlockForm }
  /** The change of the schema that the records scanned since the last call made necessary. */
  widened?: () => { widen: Record<string, unknown>, note: Note } | undefined
}

/** Yields the blocks of all inputs, in order. Empty inputs are refused by `preamble`; inputs without records give no block. */
export async function * splitText (inputs: Input[], target: BlockTarget, split: TextSplit): AsyncGenerator<SplitItem> {
  const cutter = new Cutter(inputs, target, split)
  for (let input = 0; input < inputs.length; input++) yield * cutter.input(input)
  yield * cutter.close()
}

class Cutter {
  readonly #inputs: Input[]
  readonly #target: BlockTarget
  readonly #split: TextSplit
  readonly #buffer: TextBuffer = textBuffer()
  #block: TextBlock | undefined
  #index = 0

  constructor (inputs: Input[], target: BlockTarget, split: TextSplit) {
    this.#inputs = inputs
    this.#target = target
    this.#split = split
  }

  async * input (number: number): AsyncGenerator<SplitItem> {
    const input = this.#inputs[number]!
    const source = await TextFile.open(input, this.#buffer)
    try {
      await source.more()
      if (source.end >= 3 && source.bytes[0] === 0xef && source.bytes[1] === 0xbb && source.bytes[2] === 0xbf) source.at = 3
      const { form, lines } = await this.#preamble(input, source)
      if (this.#block != null && !this.#block.takes(form)) yield * this.close()
      this.#block?.endLine()
      const scanner = this.#split.scanner(input)
      scanner.line += lines
      for (;;) {
        this.#block ??= new TextBlock(form)
        const block = this.#block
        const dry = this.#scan(number, source, scanner, block)
        if (block.size >= this.#target.bytes || block.crowded) yield * this.close()
        if (source.last && source.at >= source.end) break
        if (dry) await source.more()
      }
      await source.verify()
      for (const note of scanner.notes?.() ?? []) yield { note }
    } finally {
      await source.close()
    }
  }

  /** Ends the block that is open. Blank lines alone are no block; they are dropped with it. */
  * close (): Generator<SplitItem> {
    const block = this.#block
    this.#block = undefined
    if (block == null || block.records === 0) return
    const widened = this.#split.widened?.()
    if (widened != null) yield widened
    yield block.recipe(this.#index++)
  }

  async #preamble (input: Input, source: TextFile): Promise<{ form: BlockForm, lines: number }> {
    for (;;) {
      const { next, lines, form } = this.#split.preamble(input, source.bytes, source.at, source.end, source.last)
      if (next >= 0) {
        requireUtf8(source.bytes.subarray(source.at, next), input.original ?? input.path, 1)
        source.at = next
        return { form: form ?? { prefix: this.#split.prefix }, lines }
      }
      await source.more()
    }
  }

  /** Scans what is in the buffer, up to the block's end, into the block. True if the buffer has no complete record left. */
  #scan (number: number, source: TextFile, scanner: Scanner, block: TextBlock): boolean {
    const { bytes } = source
    const from = source.at
    const { line, records } = scanner
    const origin = { input: number, path: this.#inputs[number]!.original ?? this.#inputs[number]!.path, line }
    const until = from + this.#target.bytes - block.size
    source.at = scanner.scan(bytes, from, source.end, until, source.last)
    // A scanner that stopped early goes on with what is there.
    const dry = source.at < until && (scanner.edits?.length ?? 0) < EDITS_PER_SCAN
    if (source.at === from) return dry
    requireUtf8(bytes.subarray(from, source.at), origin.path, line)
    let at = from
    for (const edit of scanner.edits ?? []) {
      block.range(bytes.subarray(at, edit.from), source.offset + at, origin)
      if (edit.insert != null) block.insert(edit.insert)
      at = edit.to
    }
    block.range(bytes.subarray(at, source.at), source.offset + at, origin)
    block.records += scanner.records - records
    if (scanner.mixedEnds === true) {
      block.mixedEnds = true
      scanner.mixedEnds = false
    }
    return dry
  }
}
