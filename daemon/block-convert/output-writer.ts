/**
 * Two-phase output. All is written to a partial file beside the final path, checked and synced there; the final name appears
 * in one step or not at all.
 */
import { createHash, type Hash } from 'node:crypto'
import { chmod, link, lstat, open, rename, rm, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OUTPUT_BUFFER_BYTES } from './constants.ts'
import { familyOf } from './families.ts'
import type { BlockSource, Conversion, Merger } from './index.ts'
import { PartialFolder } from './output-folder.ts'
import { lstatIfThere, partialPath, syncFolder, systemError } from './output-paths.ts'
import type { OutputWriter } from './toolbox.ts'


/** Errors of file systems that have no hard links. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV'])

/** Opens an output: one file, or for a conversion that divides its output a folder of them. System errors keep their `code`. */
export async function openOutput (finalPath: string, conversion: Conversion, overwrite: boolean): Promise<OutputWriter> {
  const divided = await familyOf(conversion.converter.id).divided?.(conversion)
  return divided == null ? await PartialOutput.open(finalPath, conversion, overwrite) : await PartialFolder.open(finalPath, conversion, divided, overwrite)
}

/** The writer itself; it runs in a thread of the toolbox. Its calls must not overlap. */
export class PartialOutput implements OutputWriter {
  readonly #finalPath: string
  #conversion: Conversion
  readonly #overwrite: boolean
  readonly #path: string
  #handle: FileHandle | undefined
  #merger: Merger
  #hash: Hash = createHash('sha256')
  #size = 0
  #started = false
  #buffer = Buffer.allocUnsafe(OUTPUT_BUFFER_BYTES)
  #buffered = 0

  private constructor (finalPath: string, path: string, handle: FileHandle, conversion: Conversion, overwrite: boolean) {
    this.#finalPath = finalPath
    this.#path = path
    this.#handle = handle
    this.#conversion = conversion
    this.#overwrite = overwrite
    this.#merger = newMerger(conversion)
  }

  /** Opens the partial file. System errors keep their `code`: EEXIST (without `overwrite`), EISDIR, ENOENT, EACCES, ... */
  static async open (finalPath: string, conversion: Conversion, overwrite: boolean): Promise<PartialOutput> {
    newMerger(conversion)
    const there = await lstatIfThere(finalPath)
    if (there?.isDirectory() === true) throw systemError('EISDIR', 'is a folder', finalPath)
    if (there != null && !overwrite) throw systemError('EEXIST', 'exists already', finalPath)
    const path = partialPath(finalPath)
    // Private until it is complete; the usual mode comes with the final name.
    const handle = await open(path, 'wx', 0o600)
    return new PartialOutput(finalPath, path, handle, conversion, overwrite)
  }

  async add (parts: BlockSource[]): Promise<void> {
    await this.#start()
    for (const part of parts) await this.#writeAll(this.#merger.add(part))
  }

  async finish (expected: { units?: number, blocks: number }): Promise<{ size: number, digest: Uint8Array, units: number }> {
    await this.#start()
    await this.#writeAll(this.#merger.end())
    await this.#flush()
    await this.#open().sync()
    await this.#close()
    const { units } = await familyOf(this.#conversion.converter.id).inspectWhole(this.#path, expected, this.#conversion)
    return { size: this.#size, digest: this.#hash.digest(), units }
  }

  async commit (): Promise<void> {
    await chmod(this.#path, await this.#mode())
    if (this.#overwrite) await rename(this.#path, this.#finalPath)
    else await this.#appear()
    try {
      await syncFolder(dirname(this.#finalPath))
    } catch {
      // The output is complete and has its name: calling the job failed now would be wrong. Some file systems cannot sync a folder.
    }
  }

  async reset (conversion?: Conversion): Promise<void> {
    if (conversion != null) this.#conversion = conversion
    await this.#close()
    this.#handle = await open(this.#path, 'r+')
    await this.#handle.truncate(0)
    this.#merger = newMerger(this.#conversion)
    this.#hash = createHash('sha256')
    this.#size = 0
    this.#buffered = 0
    this.#started = false
  }

  async abort (): Promise<void> {
    try {
      await this.#close()
    } catch {
      // The file is removed next, so what could not be written to it is of no interest.
    }
    try {
      await rm(this.#path, { force: true })
    } catch {
      // The folder may be gone or read-only by now; a leftover is recognised by its name and removed by `removePartials`.
    }
  }

  async #start (): Promise<void> {
    if (this.#started) return
    this.#started = true
    await this.#writeAll(this.#merger.start())
  }

  async #writeAll (chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    // Small parts come by the thousand: a turn of the event loop for each would cost more than writing it.
    if (Symbol.iterator in chunks) {
      for (const chunk of chunks) if (!this.#fits(chunk)) await this.#place(chunk)
    } else {
      for await (const chunk of chunks) if (!this.#fits(chunk)) await this.#place(chunk)
    }
  }

  /** Buffers a chunk that fits beside what is there. */
  #fits (chunk: Uint8Array): boolean {
    if (this.#buffered + chunk.length > this.#buffer.length) return false
    this.#buffer.set(chunk, this.#buffered)
    this.#buffered += chunk.length
    return true
  }

  async #place (chunk: Uint8Array): Promise<void> {
    await this.#flush()
    if (!this.#fits(chunk)) await this.#write(chunk)
  }

  async #flush (): Promise<void> {
    const length = this.#buffered
    this.#buffered = 0
    if (length > 0) await this.#write(this.#buffer.subarray(0, length))
  }

  async #write (bytes: Uint8Array): Promise<void> {
    const handle = this.#open()
    this.#hash.update(bytes)
    this.#size += bytes.length
    let done = 0
    while (done < bytes.length) done += (await handle.write(bytes, done)).bytesWritten
  }

  #open (): FileHandle {
    if (this.#handle == null) throw new Error('the output is finished')
    return this.#handle
  }

  async #close (): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  /** Of the file it replaces; else what any program would create. */
  async #mode (): Promise<number> {
    if (this.#overwrite) {
      const there = await stat(this.#finalPath).catch(() => undefined /* nothing to replace */)
      if (there != null) return there.mode & 0o777
    }
    return 0o666 & ~process.umask()
  }

  /** Takes the final name only if nobody has it. */
  async #appear (): Promise<void> {
    try {
      await link(this.#path, this.#finalPath)
    } catch (error) {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      // Without hard links a look before the rename has to do; what appears in between would be replaced.
      const there = await lstat(this.#finalPath).catch(() => undefined /* free, or the rename says what is wrong */)
      if (there != null) throw systemError('EEXIST', 'exists already', this.#finalPath)
      await rename(this.#path, this.#finalPath)
      return
    }
    try {
      await unlink(this.#path)
    } catch {
      // The output has its name, so the job is done; `removePartials` recognises what is left of the other one.
    }
  }
}

function newMerger (conversion: Conversion): Merger {
  return familyOf(conversion.converter.id).merger(conversion)
}
