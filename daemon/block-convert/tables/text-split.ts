/** Cuts a text table into blocks at record borders, while a scanner proves every record and the digests are computed. */
import { createHash, type Hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { RECORD_BYTES_MAX, SCAN_CHUNK_BYTES, SCAN_PADDING } from './constants.ts'
import { requireUtf8 } from './csv/faults.ts'
import { ConversionError, unreadable } from '../errors.ts'
import type { BlockRecipe, BlockTarget, Input, RecipePart } from '../index.ts'
import { inputChanged } from '../source.ts'

/** Consumes whole records; see CsvScanner and JsonScanner. */
export interface Scanner {
  /** Records seen so far. */
  records: number
  /** 1-based line of the next record. */
  line: number
  /** Of CsvScanner only. */
  mixedEnds?: boolean
  scan: (bytes: Uint8Array, from: number, end: number, until: number, last: boolean) => number
}

export interface TextSplit {
  /** Bytes every block begins with. */
  prefix: Uint8Array
  /** A fresh scanner for one input. */
  scanner: (input: Input) => Scanner
  /** Consumes what comes before the first record (a header); returns where the records begin, or -1 if more bytes are needed. */
  preamble: (input: Input, bytes: Uint8Array, from: number, end: number, last: boolean) => { next: number, lines: number }
}

/** Yields the blocks of all inputs, in order. Empty inputs are refused by `preamble`; inputs without records give no block. */
export async function * splitText (inputs: Input[], target: BlockTarget, split: TextSplit): AsyncGenerator<BlockRecipe> {
  let index = 0
  for (let input = 0; input < inputs.length; input++) {
    for await (const block of splitInput(inputs[input]!, target, split)) {
      const parts: RecipePart[] = split.prefix.length > 0 ? [{ bytes: split.prefix }] : []
      parts.push({ input, offset: block.offset, length: block.length })
      const recipe: BlockRecipe = { index: index++, parts, size: split.prefix.length + block.length, digest: block.digest, units: block.records, origin: { input, line: block.line } }
      if (block.mixedEnds) recipe.slice = { lineEnds: 'mixed' }
      yield recipe
    }
  }
}

interface Cut { offset: number, length: number, digest: Uint8Array, records: number, line: number, mixedEnds: boolean }

async function * splitInput (input: Input, target: BlockTarget, split: TextSplit): AsyncGenerator<Cut> {
  const source = await ChunkedFile.open(input)
  try {
    const scanner = split.scanner(input)
    await source.more()
    if (source.end >= 3 && source.bytes[0] === 0xef && source.bytes[1] === 0xbb && source.bytes[2] === 0xbf) source.at = 3
    for (;;) {
      const { next, lines } = split.preamble(input, source.bytes, source.at, source.end, source.last)
      if (next >= 0) {
        source.at = next
        scanner.line += lines
        break
      }
      await source.more()
    }
    let block = new OpenBlock(source, scanner, split.prefix)
    for (;;) {
      const from = source.at
      const until = block.offset + target.bytes - source.offset
      source.at = scanner.scan(source.bytes, from, source.end, until, source.last)
      if (source.at > from) {
        if (source.offset + from === block.offset && split.prefix.length === 0) refuseByteOrderMark(source, from, input, block.line)
        const consumed = source.bytes.subarray(from, source.at)
        requireUtf8(consumed, input.path, block.utf8Line)
        block.utf8Line = scanner.line
        block.hash.update(consumed)
      }
      const full = source.offset + source.at - block.offset >= target.bytes
      const over = source.last && source.at >= source.end
      if (full || over) {
        const cut = block.close()
        // Blank lines alone are no block; they are dropped with it.
        if (cut.records > 0) yield cut
        if (over) break
        block = new OpenBlock(source, scanner, split.prefix)
      } else {
        await source.more()
      }
    }
    await source.verify()
  } finally {
    await source.close()
  }
}

/** Readers drop a byte order mark where a file begins, and a block is a file of its own. */
function refuseByteOrderMark ({ bytes }: ChunkedFile, at: number, input: Input, line: number): void {
  if (bytes[at] !== 0xef || bytes[at + 1] !== 0xbb || bytes[at + 2] !== 0xbf) return
  throw new ConversionError('unsupported', `'${input.path}' line ${line}: a record begins with a byte order mark (U+FEFF); remove it, or put the field in quotes`, { path: input.path, line })
}

class OpenBlock {
  readonly offset: number
  readonly line: number
  /** Line of the first byte not yet checked to be UTF-8. */
  utf8Line: number
  readonly hash: Hash
  readonly #source: ChunkedFile
  readonly #scanner: Scanner
  readonly #records: number

  constructor (source: ChunkedFile, scanner: Scanner, prefix: Uint8Array) {
    this.#source = source
    this.#scanner = scanner
    this.#records = scanner.records
    scanner.mixedEnds = false
    this.offset = source.offset + source.at
    this.line = scanner.line
    this.utf8Line = scanner.line
    this.hash = createHash('sha256')
    if (prefix.length > 0) this.hash.update(prefix)
  }

  close (): Cut {
    return {
      offset: this.offset,
      length: this.#source.offset + this.#source.at - this.offset,
      digest: this.hash.digest(),
      records: this.#scanner.records - this.#records,
      line: this.line,
      mixedEnds: this.#scanner.mixedEnds === true
    }
  }
}

/** A file read front to back through one buffer that keeps what was not consumed yet. */
class ChunkedFile {
  bytes = new Uint8Array(2 * SCAN_CHUNK_BYTES + SCAN_PADDING)
  /** The next byte to consume. */
  at = 0
  /** Behind the last byte read; SCAN_PADDING zeros follow. */
  end = 0
  /** Position in the file of `bytes[0]`. */
  offset = 0
  /** The file ends at `end`. */
  last = false
  readonly #handle: FileHandle
  readonly #input: Input

  private constructor (handle: FileHandle, input: Input) {
    this.#handle = handle
    this.#input = input
  }

  static async open (input: Input): Promise<ChunkedFile> {
    const handle = await open(input.path, 'r').catch(error => { throw unreadable(input.path, error) })
    return new ChunkedFile(handle, input)
  }

  /** Drops what was consumed and reads at least one more byte, or learns that the file is over. */
  async more (): Promise<void> {
    const kept = this.end - this.at
    if (kept > RECORD_BYTES_MAX) {
      throw new ConversionError('bad-input', `'${this.#input.path}': a record is longer than ${RECORD_BYTES_MAX} bytes; is a quote or a newline missing?`, { path: this.#input.path })
    }
    if (kept + SCAN_CHUNK_BYTES + SCAN_PADDING > this.bytes.length) {
      const larger = new Uint8Array(this.bytes.length * 2)
      larger.set(this.bytes.subarray(this.at, this.end))
      this.bytes = larger
    } else {
      this.bytes.copyWithin(0, this.at, this.end)
    }
    this.offset += this.at
    this.at = 0
    this.end = kept
    try {
      const { bytesRead } = await this.#handle.read(this.bytes, kept, SCAN_CHUNK_BYTES, this.offset + kept)
      this.end += bytesRead
      // The size is what the job was promised; `verify` tells if the file has become longer.
      if (bytesRead === 0 && this.offset + this.end < this.#input.size) throw inputChanged(this.#input.path, 'it became shorter')
      this.last = this.offset + this.end >= this.#input.size
    } catch (error) {
      throw unreadable(this.#input.path, error)
    }
    this.bytes.fill(0, this.end, this.end + SCAN_PADDING)
  }

  /** Throws `input-changed` if the file is not what the job's description says. */
  async verify (): Promise<void> {
    const now = await this.#handle.stat().catch(error => { throw unreadable(this.#input.path, error) })
    const read = this.offset + this.end
    if (read !== this.#input.size || now.size !== this.#input.size) throw inputChanged(this.#input.path, `${this.#input.size} bytes before, ${now.size} now`)
    if (now.mtimeMs !== this.#input.mtimeMs) throw inputChanged(this.#input.path, 'it was written to')
  }

  async close (): Promise<void> {
    await this.#handle.close()
  }
}
