/** What a file is: its content first, then its extension; or what the user says. Looks through a compression, and another character set. */
import type { Stats } from 'node:fs'
import { constants, open, stat, type FileHandle } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { OCTETS } from './archives/constants.ts'
import { encodingOfType } from './archives/settings.ts'
import { textHead } from './charset.ts'
import { SNIFF_BYTES } from './constants.ts'
import { ConversionError, unreadable } from './errors.ts'
import { ENCODING_EXTENSIONS, families, parseTarget } from './families.ts'
import type { Encoding, Input, MediaType } from './index.ts'

/**
 * Describes a file: absolute path, media type, compression around it, size, modification time. What nobody knows is
 * `application/octet-stream`: it can still be compressed.
 *
 * Throws ConversionError `input-unreadable` (missing, a folder, no permission), `bad-input` (its compressed content is damaged from the
 * start) or `unknown-type` (of `from`).
 */
export async function describeInput (path: string, from?: string): Promise<Input> {
  const absolute = resolve(path)
  let handle: FileHandle | undefined
  try {
    // Opening a named pipe waits for its writer, for ever if there is none; also one that takes the file's place after the look.
    checkFile(absolute, await stat(absolute))
    handle = await open(absolute, constants.O_RDONLY | constants.O_NONBLOCK)
    const info = await handle.stat()
    checkFile(absolute, info)
    const head = await readHead(handle, info.size)
    return { path: absolute, ...await typeOf(absolute, info.size, head, from), size: info.size, mtimeMs: info.mtimeMs }
  } catch (error) {
    throw unreadable(absolute, error)
  } finally {
    await handle?.close()
  }
}

function checkFile (path: string, info: Stats): void {
  if (info.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' })
  if (!info.isFile()) throw new ConversionError('input-unreadable', `cannot read '${path}': it is not a regular file`, { path })
}

/** What is called so is text in some character set; its reader says which bytes are none. */
const TEXT_EXTENSIONS = new Set(['csv', 'tsv', 'tab', 'txt', 'ndjson', 'jsonl', 'json'])

interface FileType { mediaType: MediaType, encoding?: Encoding }

async function typeOf (path: string, size: number, head: Uint8Array, from?: string): Promise<FileType> {
  const extension = extensionIn(path)
  const found = encodingIn(head, extension)
  if (from != null) {
    const named = parseTarget(from)
    const bare = encodingOfType(named.mediaType)
    if (bare != null) return { mediaType: OCTETS, encoding: bare }
    // Of bytes nothing is to be known, not even that they are compressed.
    const encoding = named.encoding ?? (named.mediaType === OCTETS ? undefined : found)
    return { mediaType: named.mediaType, ...(encoding != null ? { encoding } : {}) }
  }
  if (found == null) {
    const claimed = namedEncoding(extension)
    // A download that was decompressed on the way keeps its name; its content decides.
    const mediaType = sniff(head, claimed == null ? extension : innerExtension(path), path)
    if (claimed != null && mediaType === OCTETS) throw new ConversionError('bad-input', `'${path}' is named .${extension}, but holds no ${claimed} data`, { path })
    return { mediaType }
  }
  const { decodedHead } = await import('./decode.ts')
  const inner = await decodedHead({ path, size }, found, SNIFF_BYTES)
  const named = ENCODING_EXTENSIONS[found].includes(extension) ? innerExtension(path) : extension
  return { mediaType: sniff(inner, named, path), encoding: found }
}

/** The media type by content and extension; unknown ones are bytes. */
function sniff (head: Uint8Array, extension: string, path: string): MediaType {
  const text = textHead(head, TEXT_EXTENSIONS.has(extension))
  for (const family of families) {
    try {
      const mediaType = family.sniff(text, extension)
      if (mediaType != null) return mediaType
    } catch (error) {
      // A family that recognises what it cannot read does not know the file's name.
      if (error instanceof ConversionError) throw new ConversionError(error.code, `cannot convert '${path}': ${error.message}`, { path, ...error.details })
      throw error
    }
  }
  return OCTETS
}

/** By their magic numbers. brotli has none, so its name has to do. */
function encodingIn (head: Uint8Array, extension: string): Encoding | undefined {
  const start = Buffer.from(head.subarray(0, 6)).toString('hex')
  if (start.startsWith('1f8b08')) return 'gzip'
  // A frame, or one to be skipped before it.
  if (start.startsWith('28b52ffd') || /^5.2a4d18/.test(start)) return 'zstd'
  if (start === 'fd377a585a00') return 'xz'
  return namedEncoding(extension) === 'brotli' ? 'brotli' : undefined
}

function namedEncoding (extension: string): Encoding | undefined {
  return (Object.keys(ENCODING_EXTENSIONS) as Encoding[]).find(encoding => ENCODING_EXTENSIONS[encoding].includes(extension))
}

function extensionIn (name: string): string {
  return extname(name).slice(1).toLowerCase()
}

/** `csv` of `x.csv.gz`. */
function innerExtension (path: string): string {
  return extensionIn(basename(path, extname(path)))
}

async function readHead (handle: FileHandle, size: number): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(SNIFF_BYTES, size))
  let got = 0
  while (got < head.length) {
    const { bytesRead } = await handle.read(head, got, head.length - got, got)
    if (bytesRead === 0) break
    got += bytesRead
  }
  return head.subarray(0, got)
}
