/**
 * Text tables that are compressed as a whole (`csv.gz`). Every part is a member, frame or stream of its own, a CSV part without the header;
 * what the output has around its parts (text-merge.ts) is compressed apart, so merging is concatenation. brotli knows none: its parts are
 * plain, and the merger compresses one stream.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { compress, compressed, decode } from '../archives/codecs.ts'
import { RESULT_FRAMES_MAX } from '../archives/constants.ts'
import { compressFile } from '../archives/converters.ts'
import { ConversionError } from '../errors.ts'
import type { BlockSource, Distance, Encoding, Merger } from '../index.ts'
import { DECODED_IN_MEMORY_BYTES, DECODED_RESULT_BYTES_MAX } from './constants.ts'
import type { EngineTask, TargetFormat } from './format.ts'
import { RandomAccess } from './random-access.ts'
import type { TableParameters } from './schema.ts'
import { textPieces } from './text-merge.ts'
import { RecordCounter } from './text-inspect.ts'

const LF = 10

/** How the output is compressed as a whole. */
export function encodingOf ({ target }: TableParameters): Encoding | undefined {
  return 'encoding' in target ? target.encoding : undefined
}

/** How a *part* is compressed: not at all, where the merger does it. */
export function partEncoding (params: TableParameters): Encoding | undefined {
  const encoding = encodingOf(params)
  return encoding === 'brotli' ? undefined : encoding
}

/** The parameters of what is inside: of a part that is compressed by itself, without the header. */
export function plainParameters (params: TableParameters, whole: boolean): TableParameters {
  if (!('encoding' in params.target)) return params
  const headless = !whole && partEncoding(params) != null
  const { encoding: _, ...target } = params.target
  return { ...params, target: target.format === 'csv' && headless ? { ...target, dialect: { ...target.dialect, header: false } } : target }
}

/** Writes a part as the merger wants it; gives the rows written. */
export async function writePart (target: TargetFormat, task: EngineTask, from: string, progress: (done: number) => void): Promise<number> {
  const encoding = encodingOf(task.params)
  if (encoding == null) return await target.write(task, from)
  const path = `${task.output}.plain`
  const rows = await target.write({ ...task, params: plainParameters(task.params, false), output: path }, from)
  if (partEncoding(task.params) == null) {
    await rename(path, task.output)
    return rows
  }
  await compressFile({ path, size: (await stat(path)).size }, encoding, {}, { output: task.output, signal: task.signal, progress })
  await rm(path)
  return rows
}

/** `plain` merges what is inside. */
export function encodedMerger (params: TableParameters, plain: Merger): Merger {
  const encoding = encodingOf(params) as Encoding
  if (partEncoding(params) == null) return new CompressingMerger(encoding, plain)
  const { start, between, end, empty } = textPieces(params)
  const known = new Map<Uint8Array, Promise<Uint8Array>>()
  const piece = async function * (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    if (bytes.length === 0) return
    let written = known.get(bytes)
    if (written == null) known.set(bytes, written = compressed(bytes, encoding))
    yield await written
  }
  // Otherwise it is only known with the first rows what the output begins with.
  const early = start === empty
  let rows = false
  let parts = 0
  return {
    async * start () {
      if (early) yield * piece(start)
    },
    async * add (part) {
      parts++
      if (!early || between.length > 0) {
        if (!await hasBytes(part, encoding)) return
        yield * piece(rows ? between : start)
      }
      rows = true
      yield * bytesOf(part)
    },
    async * end () {
      if (rows) yield * piece(end)
      else if (!early) yield * piece(empty)
      // Nothing at all would be no compressed file.
      else if (start.length === 0 && parts === 0) yield await compressed(start, encoding)
    }
  }
}

/** Whether there is anything inside a compressed part. */
async function hasBytes (part: BlockSource, encoding: Encoding): Promise<boolean> {
  for await (const chunk of decode(part, encoding, LIMITS)) if (chunk.length > 0) return true
  return false
}

/** Bytes of a file read at once. */
const READ_BYTES = 1024 * 1024

function * bytesOf (part: BlockSource): Generator<Uint8Array> {
  const file = new RandomAccess(part)
  try {
    for (let at = 0; at < file.size; at += READ_BYTES) yield file.read(at, Math.min(READ_BYTES, file.size - at))
  } finally {
    file.close()
  }
}

/** All that another merger gives, as one compressed stream. */
class CompressingMerger implements Merger {
  readonly #plain: Merger
  readonly #input = new PassThrough()
  readonly #output: AsyncGenerator<Uint8Array>
  /** The next bytes of the output, being waited for. */
  #next: Promise<IteratorResult<Uint8Array>> | undefined

  constructor (encoding: Encoding, plain: Merger) {
    this.#plain = plain
    this.#output = compress(this.#input, encoding)
  }

  start (): AsyncGenerator<Uint8Array> {
    return this.#through(this.#plain.start())
  }

  add (part: BlockSource): AsyncGenerator<Uint8Array> {
    return this.#through(this.#plain.add(part))
  }

  async * end (): AsyncGenerator<Uint8Array> {
    yield * this.#through(this.#plain.end())
    this.#input.end()
    for (;;) {
      const { done, value } = await (this.#next ?? this.#output.next())
      this.#next = undefined
      if (done === true) return
      yield value
    }
  }

  /** Gives what comes out while the bytes go in; the compressor keeps the rest. */
  async * #through (chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      if (this.#input.write(chunk)) continue
      // Either it took what it had, or it cannot before its own output is taken.
      let drained = false
      const drain = once(this.#input, 'drain').then(() => { drained = true })
      while (!drained) {
        this.#next ??= this.#output.next()
        const given = await Promise.race([drain.then(() => undefined), this.#next])
        if (given == null) break
        this.#next = undefined
        if (given.done === true) throw new Error('the compressor ended early')
        yield given.value
      }
    }
  }
}

/**
 * Structure and rows of a compressed part or output: `inspect` looks into a part. Of an output, whose parts were looked into, the pieces
 * around them and the number of records are checked, as a stream. `blockBytes`: as for `withPlain`. Throws ConversionError `bad-input`.
 */
export async function inspectEncoded (source: BlockSource, params: TableParameters, whole: boolean, inspect: (plain: BlockSource, params: TableParameters) => Promise<{ units: number }>, blockBytes?: number): Promise<{ units: number }> {
  if (whole) return { units: await countRecords(source, params) }
  return await withPlain(source, params, false, async plain => await inspect(plain, plainParameters(params, false)), blockBytes)
}

async function countRecords (source: BlockSource, params: TableParameters): Promise<number> {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `the output ${what}`)
  const { start, end, empty } = textPieces(params)
  const csv = params.target.format === 'csv' ? params.target.dialect : undefined
  const counter = new RecordCounter(csv == null || csv.quote === '' ? -1 : csv.quote.charCodeAt(0), csv == null || csv.escape === csv.quote ? -1 : csv.escape.charCodeAt(0))
  const head = new Ends(Math.max(start.length, empty.length))
  const tail = new Ends(Math.max(end.length, 1))
  for await (const chunk of decode(source, encodingOf(params) as Encoding, OUTPUT_LIMITS)) {
    head.first(chunk)
    tail.last(chunk)
    counter.add(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length))
  }
  if (params.target.format === 'json' && head.size === empty.length && head.bytes.equals(empty)) return 0
  // They are ours: the merger wrote them.
  if (!head.bytes.subarray(0, start.length).equals(start)) throw bad('does not begin with the header of its columns')
  if (counter.open) throw bad('is cut off inside a quoted field')
  if (head.size > 0 && tail.bytes.at(-1) !== LF) throw bad('is cut off: its last record has no line end')
  if (end.length > 0 && !tail.bytes.equals(end)) throw bad('is cut off: it has no end')
  const around = new RecordCounter(csv == null || csv.quote === '' ? -1 : csv.quote.charCodeAt(0), csv == null || csv.escape === csv.quote ? -1 : csv.escape.charCodeAt(0))
  around.add(Buffer.from(start))
  // The end's first line feed is that of the last record.
  return counter.records - around.records - Math.max(0, Buffer.from(end).filter(byte => byte === LF).length - 1)
}

/** The first or last bytes of a stream, and how many there were in all. */
class Ends {
  bytes: Buffer = Buffer.alloc(0)
  size = 0
  readonly #most: number

  constructor (most: number) {
    this.#most = most
  }

  first (chunk: Uint8Array): void {
    this.size += chunk.length
    if (this.bytes.length < this.#most) this.bytes = Buffer.concat([this.bytes, chunk.subarray(0, this.#most - this.bytes.length)])
  }

  last (chunk: Uint8Array): void {
    this.size += chunk.length
    this.bytes = Buffer.from(Buffer.concat([this.bytes, chunk.subarray(-this.#most)]).subarray(-this.#most))
  }
}

/** Compares what is inside a compressed part; one that cannot be decoded is a difference. `blockBytes`: as for `withPlain`. */
export async function encodedDistance (result: BlockSource, params: TableParameters, compare: (plain: BlockSource, params: TableParameters) => Promise<Distance>, blockBytes?: number): Promise<Distance> {
  try {
    return await withPlain(result, params, false, async plain => {
      try {
        return await compare(plain, plainParameters(params, false))
      } catch (error) {
        // Of the source: nothing the result's decoder says.
        throw new Comparison(error)
      }
    }, blockBytes)
  } catch (error) {
    if (error instanceof Comparison) throw error.cause
    if (!(error instanceof ConversionError) || error.code === 'input-unreadable') throw error
    return { value: 1, compared: 0, difference: `the result cannot be read: ${error.message}` }
  }
}

/** What went wrong in a comparison, told apart from what went wrong on the way to it. */
class Comparison extends Error {
  constructor (cause: unknown) {
    super('the comparison', { cause })
  }
}

/** A result's own size says little of what a table becomes: a column of one value compresses a thousandfold. */
const LIMITS = { name: 'the result', expansion: Infinity, mostBytes: DECODED_RESULT_BYTES_MAX, mostFrames: RESULT_FRAMES_MAX, padding: 'refuse' } as const

const OUTPUT_LIMITS = { name: 'the output', expansion: Infinity, mostBytes: Infinity, padding: 'refuse' } as const

/** Decoded bytes every part may have, however small its block: a Parquet block of equal values becomes a text a thousand times its size. */
const DECODED_PART_BYTES_MIN = 256 * 2 ** 20

/** Decoded bytes of a part per byte of its block: the names of JSON at every value of a packed column cost less. More is an attack on the disk. */
const DECODED_PART_RATIO_MAX = 64

/** Bytes the part of a block of this many bytes may decode to. */
export function partBytesMax (blockBytes: number): number {
  return Math.min(DECODED_RESULT_BYTES_MAX, Math.max(DECODED_PART_BYTES_MIN, DECODED_PART_RATIO_MAX * blockBytes))
}

/**
 * Lets `work` read what is inside a compressed part (or `whole` output): from memory, or from a file that is removed afterwards.
 * `blockBytes`: the size of the part's block, which bounds it by `partBytesMax`. @default what an engine may write at most
 */
export async function withPlain<T> (source: BlockSource, params: TableParameters, whole: boolean, work: (plain: BlockSource) => Promise<T>, blockBytes?: number): Promise<T> {
  const encoding = whole ? encodingOf(params) : partEncoding(params)
  if (encoding == null) return await work(source)
  const chunks: Uint8Array[] = []
  let size = 0
  const decoded = decode(source, encoding, whole ? OUTPUT_LIMITS : { ...LIMITS, ...(blockBytes != null ? { mostBytes: partBytesMax(blockBytes) } : {}) })
  try {
    for (;;) {
      const { done, value } = await decoded.next()
      if (done === true) return await work({ bytes: Buffer.concat(chunks) })
      chunks.push(value)
      size += value.length
      if (size > DECODED_IN_MEMORY_BYTES) return await inFile(chunks, decoded, work)
    }
  } finally {
    await decoded.return(undefined)
  }
}

async function inFile<T> (first: Uint8Array[], rest: AsyncGenerator<Uint8Array>, work: (plain: BlockSource) => Promise<T>): Promise<T> {
  const path = join(tmpdir(), `weft-plain-${randomBytes(8).toString('hex')}`)
  const handle = await open(path, 'wx', 0o600)
  try {
    let size = 0
    const write = async (chunk: Uint8Array): Promise<void> => {
      for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten
      size += chunk.length
    }
    try {
      for (const chunk of first.splice(0)) await write(chunk)
      for await (const chunk of rest) await write(chunk)
    } finally {
      await handle.close()
    }
    return await work({ path, size })
  } finally {
    await rm(path, { force: true })
  }
}
