/**
 * An output that is a folder of files: written in a folder beside the final path, every file checked and synced there, then renamed as a
 * whole. Its size is the sum of the files'; its digest that of the text that `sha256sum` prints for them, sorted by path:
 * `(cd OUT && find * -type f | LC_ALL=C sort | xargs sha256sum) | sha256sum`.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { OPEN_OUTPUTS_MAX, OUTPUT_BUFFER_BYTES } from './constants.ts'
import { ConversionError } from './errors.ts'
import { familyOf } from './families.ts'
import type { BlockSource, Conversion, DividedOutput, Merger } from './index.ts'
import { lstatIfThere, partialPath, replacedPath, syncFolder, systemError } from './output-paths.ts'
import type { OutputWriter } from './toolbox.ts'

/** One file of the output. */
interface File {
  path: string
  merger: Merger
  hash: Hash
  size: number
  units: number
  /** Open while it is among the last that were written to. */
  handle?: FileHandle
}

/** The writer; it runs in a thread of the toolbox. Its calls must not overlap. */
export class PartialFolder implements OutputWriter {
  readonly #finalPath: string
  #conversion: Conversion
  #divided: DividedOutput
  readonly #overwrite: boolean
  readonly #path: string
  readonly #files = new Map<string, File>()
  /** Least recently written first. */
  readonly #open = new Set<File>()
  readonly #folders = new Set<string>()
  readonly #buffer = Buffer.allocUnsafe(OUTPUT_BUFFER_BYTES)
  #buffered = 0

  private constructor (finalPath: string, path: string, conversion: Conversion, divided: DividedOutput, overwrite: boolean) {
    this.#finalPath = finalPath
    this.#path = path
    this.#conversion = conversion
    this.#divided = divided
    this.#overwrite = overwrite
  }

  /**
   * Makes the partial folder. Throws system errors with their `code`, EEXIST if something is there and is not to be replaced, and
   * ConversionError `unsupported` if it is to be, but is nothing that this could have written.
   */
  static async open (finalPath: string, conversion: Conversion, divided: DividedOutput, overwrite: boolean): Promise<PartialFolder> {
    await requireReplaceable(finalPath, divided, overwrite)
    const path = partialPath(finalPath)
    // Private until it is complete.
    await mkdir(path, { mode: 0o700 })
    return new PartialFolder(finalPath, path, conversion, divided, overwrite)
  }

  async add (parts: BlockSource[]): Promise<void> {
    for (const result of parts) {
      for (const { path, units, part } of this.#divided.parts(result)) {
        const file = this.#files.get(path) ?? await this.#create(path)
        await this.#writeAll(file, file.merger.add(part))
        file.units += units
      }
    }
  }

  async finish (expected: { units?: number, blocks: number }): Promise<{ size: number, digest: Uint8Array, units: number }> {
    const { file: conversion } = this.#divided
    const files = [...this.#files.values()].toSorted((a, b) => a.path < b.path ? -1 : 1)
    const digest = createHash('sha256')
    let size = 0
    let units = 0
    for (const file of files) {
      await this.#writeAll(file, file.merger.end())
      await (await this.#handle(file)).sync()
      await this.#closeFile(file)
      await familyOf(conversion.converter.id).inspectWhole(join(this.#path, file.path), { units: file.units, blocks: 1 }, conversion)
      digest.update(`${file.hash.digest('hex')}  ${file.path}\n`)
      size += file.size
      units += file.units
    }
    if (expected.units != null && units !== expected.units) throw new ConversionError('bad-input', `the output has ${units} rows instead of ${expected.units}`, { rows: units, expected: expected.units })
    for (const folder of [...this.#folders, '.']) await syncFolder(join(this.#path, folder))
    return { size, digest: digest.digest(), units }
  }

  async commit (): Promise<void> {
    await chmod(this.#path, 0o777 & ~process.umask())
    // Once more: it may be hours since the first look.
    const there = await requireReplaceable(this.#finalPath, this.#divided, this.#overwrite)
    if (there) await this.#replace()
    else await rename(this.#path, this.#finalPath)
    try {
      await syncFolder(dirname(this.#finalPath))
    } catch {
      // The output is complete and has its name: calling the job failed now would be wrong. Some file systems cannot sync a folder.
    }
  }

  async reset (conversion?: Conversion): Promise<void> {
    if (conversion != null) {
      const divided = await familyOf(conversion.converter.id).divided?.(conversion)
      if (divided == null) throw new Error('an output that is a folder cannot become a file')
      this.#conversion = conversion
      this.#divided = divided
    }
    await this.#clear()
    await rm(this.#path, { recursive: true, force: true })
    await mkdir(this.#path, { mode: 0o700 })
  }

  async abort (): Promise<void> {
    try {
      await this.#clear()
    } catch {
      // The files are removed next, so what could not be written to them is of no interest.
    }
    try {
      await rm(this.#path, { recursive: true, force: true })
    } catch {
      // Its folder may be read-only by now; a leftover is recognised by its name and removed by `removePartials`.
    }
  }

  async #clear (): Promise<void> {
    this.#buffered = 0
    const open = [...this.#open]
    this.#open.clear()
    this.#files.clear()
    this.#folders.clear()
    for (const { handle } of open) await handle?.close()
  }

  async #create (path: string): Promise<File> {
    if (this.#files.size >= this.#divided.filesMax) throw this.#divided.tooMany()
    for (let folder = dirname(path); folder !== '.' && !this.#folders.has(folder); folder = dirname(folder)) this.#folders.add(folder)
    await mkdir(dirname(join(this.#path, path)), { recursive: true })
    const merger = familyOf(this.#conversion.converter.id).merger(this.#divided.file)
    const file: File = { path, merger, hash: createHash('sha256'), size: 0, units: 0 }
    this.#files.set(path, file)
    await this.#handle(file, 'wx')
    await this.#writeAll(file, merger.start())
    return file
  }

  /** A few files are kept open: neighbouring blocks mostly write to the same ones. */
  async #handle (file: File, flags = 'a'): Promise<FileHandle> {
    file.handle ??= await open(join(this.#path, file.path), flags)
    this.#open.delete(file)
    this.#open.add(file)
    if (this.#open.size > OPEN_OUTPUTS_MAX) await this.#closeFile(this.#open.values().next().value as File)
    return file.handle
  }

  async #closeFile (file: File): Promise<void> {
    this.#open.delete(file)
    const { handle } = file
    delete file.handle
    await handle?.close()
  }

  /** One buffer for all files: what is in it is of one of them. */
  async #writeAll (file: File, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) {
      if (this.#buffered + chunk.length > this.#buffer.length) await this.#flush(file)
      if (chunk.length > this.#buffer.length) await this.#write(file, chunk)
      else {
        this.#buffer.set(chunk, this.#buffered)
        this.#buffered += chunk.length
      }
    }
    await this.#flush(file)
  }

  async #flush (file: File): Promise<void> {
    const length = this.#buffered
    this.#buffered = 0
    if (length > 0) await this.#write(file, this.#buffer.subarray(0, length))
  }

  async #write (file: File, bytes: Uint8Array): Promise<void> {
    const handle = await this.#handle(file)
    file.hash.update(bytes)
    file.size += bytes.length
    let done = 0
    while (done < bytes.length) done += (await handle.write(bytes, done)).bytesWritten
  }

  /** Two renames: for an instant nothing has the final name. What stands there after a crash is put back by `removePartials`. */
  async #replace (): Promise<void> {
    const aside = replacedPath(this.#finalPath)
    await rename(this.#finalPath, aside)
    try {
      await rename(this.#path, this.#finalPath)
    } catch (error) {
      await rename(aside, this.#finalPath)
      throw error
    }
    try {
      await rm(aside, { recursive: true, force: true })
    } catch {
      // The output has its name, so the job is done; `removePartials` recognises what is left of the other one.
    }
  }
}

/** Whether something is to be replaced. What is not an output of this kind from end to end never is. */
async function requireReplaceable (finalPath: string, divided: DividedOutput, overwrite: boolean): Promise<boolean> {
  const there = await lstatIfThere(finalPath)
  if (there == null) return false
  if (!overwrite) throw systemError('EEXIST', 'exists already', finalPath)
  const cannot = (why: string): ConversionError => new ConversionError('unsupported', `cannot replace '${finalPath}': ${why}; name another folder, or remove it yourself`, { path: finalPath })
  if (!there.isDirectory()) throw cannot('it is a file, and this output is a folder')
  const strange = await strangeEntry(finalPath, divided)
  if (strange != null) throw cannot(`it holds '${strange}', which is no file of an output like this`)
  return true
}

/** The first entry that is no folder or file of a divided output, relative to the folder; undefined if there is none. */
async function strangeEntry (root: string, { isFolder, isFile }: DividedOutput, below = ''): Promise<string | undefined> {
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const path = join(below, entry.name)
    if (entry.isFile() && below !== '' && isFile(entry.name)) continue
    if (!entry.isDirectory() || !isFolder(entry.name)) return path
    const strange = await strangeEntry(root, { isFolder, isFile } as DividedOutput, path)
    if (strange != null) return strange
  }
  return undefined
}

/** The digest of an output by its path, a file's or (as above) a folder's; undefined if it cannot be read. */
export async function digestOfOutput (path: string): Promise<Uint8Array | undefined> {
  try {
    const there = await lstatIfThere(path)
    if (there?.isDirectory() !== true) return await digestOf(path)
    const files: string[] = []
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(join(path, '/').length))
    }
    const digest = createHash('sha256')
    for (const file of files.toSorted((a, b) => a < b ? -1 : 1)) digest.update(`${(await digestOf(join(path, file))).toString('hex')}  ${file}\n`)
    return digest.digest()
  } catch {
    // Not there, or not to be read: for the caller the same.
    return undefined
  }
}

async function digestOf (path: string): Promise<Buffer> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest()
}
