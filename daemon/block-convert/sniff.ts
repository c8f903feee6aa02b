/** What a file is: its content first, then its extension; or what the user says. */
import { open, type FileHandle } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { SNIFF_BYTES } from './constants.ts'
import { ConversionError, unreadable } from './errors.ts'
import { families, mediaTypeOf } from './families.ts'
import type { Input, MediaType } from './index.ts'

/**
 * Describes a file: absolute path, media type, size, modification time.
 * Throws ConversionError `input-unreadable` (missing, a folder, no permission) or `unknown-type`.
 */
export async function describeInput (path: string, from?: string): Promise<Input> {
  const absolute = resolve(path)
  let handle: FileHandle | undefined
  try {
    handle = await open(absolute, 'r')
    const info = await handle.stat()
    if (info.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' })
    if (!info.isFile()) throw new ConversionError('input-unreadable', `cannot read '${absolute}': it is not a regular file`, { path: absolute })
    const mediaType = from != null ? mediaTypeOf(from) : await sniff(handle, absolute, info.size)
    return { path: absolute, mediaType, size: info.size, mtimeMs: info.mtimeMs }
  } catch (error) {
    throw unreadable(absolute, error)
  } finally {
    await handle?.close()
  }
}

async function sniff (handle: FileHandle, path: string, size: number): Promise<MediaType> {
  const head = new Uint8Array(Math.min(SNIFF_BYTES, size))
  let got = 0
  while (got < head.length) {
    const { bytesRead } = await handle.read(head, got, head.length - got, got)
    if (bytesRead === 0) break
    got += bytesRead
  }
  const extension = extname(path).slice(1).toLowerCase()
  for (const family of families) {
    try {
      const mediaType = family.sniff(head.subarray(0, got), extension)
      if (mediaType != null) return mediaType
    } catch (error) {
      // A family that recognises what it cannot read does not know the file's name.
      if (error instanceof ConversionError) throw new ConversionError(error.code, `cannot convert '${path}': ${error.message}`, { path, ...error.details })
      throw error
    }
  }
  throw new ConversionError('unknown-type', `cannot tell what '${path}' is; name its type with --from`, { path })
}
