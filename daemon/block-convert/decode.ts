/**
 * Inputs as their readers want them: not compressed, and in UTF-8. What is neither is copied into the scratch folder for the time of the
 * job, as a stream; a copy is whole or is not there.
 */
import { randomUUID } from 'node:crypto'
import { open, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { chunksOf, decode } from './archives/codecs.ts'
import { SPACE_CHECK_BYTES, SPACE_RESERVE_BYTES } from './archives/constants.ts'
import { transcoder, type Transcoder } from './charset-decode.ts'
import { detectCharset, type DetectedCharset } from './charset.ts'
import { ConversionError } from './errors.ts'
import type { BlockSource, Encoding, Input, Note } from './index.ts'
import { checkUnchanged } from './source.ts'
import { RandomAccess } from './tables/random-access.ts'
import type { Charset } from './tables/settings.ts'

export interface DecodeSettings {
  /** Decoded bytes per byte of a compressed input at most. */
  expansion: number
  /** Texts in other character sets become UTF-8: one that was declared, or `auto`. Undefined: bytes stay what they are. */
  charset?: Charset | 'auto'
}

/**
 * The input itself, or a decoded copy of it, whose path is added to `copies` before it is written.
 *
 * @throws ConversionError naming the input: `bad-input`, `unsupported`, `input-changed`; `engine` if there is no room for the copy
 */
export async function decodeInput (input: Input, settings: DecodeSettings, scratch: string, copies: string[]): Promise<{ input: Input, notes: Note[] }> {
  let current = input
  if (input.encoding != null) {
    const plain = decode(input, input.encoding, { name: `'${input.path}'`, expansion: settings.expansion })
    current = await copy(input, plain, scratch, copies)
  }
  if (settings.charset == null || settings.charset === 'utf-8') return { input: current, notes: [] }
  const found = detectCharset(current.path, current.size)
  if (found === 'utf-32') throw new ConversionError('unsupported', `'${input.path}' is in UTF-32, which is not read here; convert it to UTF-8 first (for instance with iconv)`, { path: input.path })
  const charset = settings.charset === 'auto' ? found : declared(settings.charset, found, input.path)
  if (charset == null) return { input: current, notes: [] }
  const coder = transcoder(charset, input.path)
  const decoded = await copy(input, transcoded(current, coder), scratch, copies, current)
  if (current !== input) await rm(current.path, { force: true })
  return { input: decoded, notes: notesOf(input, charset, settings.charset === 'auto', coder.controls()) }
}

/** The first decoded bytes of a compressed file, at most so many; fewer if it is cut off. Throws ConversionError if there are none to be had. */
export async function decodedHead (source: BlockSource & { path: string }, encoding: Encoding, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of decode(source, encoding, { name: `'${source.path}'` })) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= most) break
    }
  } catch (error) {
    // What is wrong further on is told where all of it is read.
    if (bytes === 0 || !(error instanceof ConversionError)) throw error
  }
  return Buffer.concat(chunks).subarray(0, most)
}

/** Of UTF-16 a byte order mark knows best which way round it is. */
function declared (charset: Charset, found: DetectedCharset | undefined, path: string): Charset {
  if (!charset.startsWith('utf-16')) return charset
  if (found != null && found !== charset && !found.startsWith('utf-16')) throw new ConversionError('bad-input', `'${path}' is not ${charset}: its beginning is ${found}; leave out --set encoding= or correct it`, { path })
  return found === 'utf-16be' || found === 'utf-16le' ? found : charset
}

function * transcoded (source: Input, coder: Transcoder): Generator<Uint8Array> {
  const file = new RandomAccess(source)
  try {
    for (const chunk of chunksOf(file)) yield coder.push(chunk)
    coder.end()
  } finally {
    file.close()
  }
}

function notesOf (input: Input, charset: Charset, detected: boolean, controls: number): Note[] {
  const notes: Note[] = []
  if (detected) notes.push({ code: 'encoding-detected', message: `'${input.path}' was read as ${charset}; if that is wrong, say what it is with --set encoding=`, input: input.path })
  if (controls > 0) notes.push({ code: 'control-characters', message: `'${input.path}' holds ${controls} control characters (0x80 to 0x9f) as ${charset}; if they should be quotes or €, it is windows-1252`, input: input.path, count: controls })
  return notes
}

/** Writes a copy of `input` for this job. `from`: what is read, if that is another copy. */
async function copy (input: Input, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, scratch: string, copies: string[], from: Input = input): Promise<Input> {
  const path = join(scratch, `decoded-${randomUUID()}`)
  copies.push(path)
  await write(path, chunks, input.path)
  // What was read is what was described, from beginning to end.
  await checkUnchanged([from])
  const { size, mtimeMs } = await stat(path)
  return { path, mediaType: input.mediaType, size, mtimeMs, original: input.path }
}

async function write (path: string, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, original: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    let unchecked = SPACE_CHECK_BYTES
    for await (const chunk of chunks) {
      unchecked += chunk.length
      if (unchecked >= SPACE_CHECK_BYTES) {
        await requireSpace(path, original)
        unchecked = 0
      }
      for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw noSpace(path, original)
    throw error
  } finally {
    await handle.close()
  }
}

/** Before the disk is full: what else writes to it must not fail for a copy of ours. */
async function requireSpace (path: string, original: string): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path))
  if (bavail * bsize < SPACE_RESERVE_BYTES) throw noSpace(path, original)
}

function noSpace (path: string, original: string): ConversionError {
  return new ConversionError('engine', `no room in '${dirname(path)}' for a decoded copy of '${original}'; free some space, or decode it elsewhere first`, { path: original })
}
