/** The real file system, of which single calls fail. */
import { systemFs, type StoreFile, type StoreFs } from '../../../daemon/store/store-fs.ts'

export type Call = 'open' | 'write' | 'datasync' | 'sync' | 'close' | 'rename' | 'rm' | 'stat' | 'statfs'

export class FaultyFs implements StoreFs {
  /** Gives the error code a call fails with; undefined: it does what it should. */
  fault: (call: Call, path: string) => string | undefined = () => undefined
  /** What the file system says it has. @default what it really has */
  free: number | undefined
  statfsCalls = 0
  readonly mkdir = systemFs.mkdir
  readonly readdir = systemFs.readdir

  #check (call: Call, path: string): void {
    const code = this.fault(call, path)
    if (code != null) throw Object.assign(new Error(`${code}: planted, ${call} '${path}'`), { code, path })
  }

  async open (path: string, flags: string, mode?: number): Promise<StoreFile> {
    this.#check('open', path)
    const file = await systemFs.open(path, flags, mode)
    return {
      write: async (chunk, offset, length) => {
        const code = this.fault('write', path)
        // Half of it arrives, as on a disk that fills up.
        if (code != null) await file.write(chunk, offset, Math.floor(length / 2))
        this.#check('write', path)
        return await file.write(chunk, offset, length)
      },
      datasync: async () => {
        this.#check('datasync', path)
        await file.datasync()
      },
      sync: async () => {
        this.#check('sync', path)
        await file.sync()
      },
      close: async () => {
        await file.close()
        this.#check('close', path)
      }
    }
  }

  async rename (from: string, to: string): Promise<void> {
    this.#check('rename', from)
    await systemFs.rename(from, to)
  }

  async rm (path: string, options: { recursive?: boolean, force: boolean }): Promise<void> {
    this.#check('rm', path)
    await systemFs.rm(path, options)
  }

  async stat (path: string): Promise<{ size: number, mtimeMs: number, isFile: () => boolean }> {
    this.#check('stat', path)
    return await systemFs.stat(path)
  }

  async statfs (path: string): Promise<{ bavail: number, bsize: number, blocks: number }> {
    this.statfsCalls++
    this.#check('statfs', path)
    return this.free == null ? await systemFs.statfs(path) : { bavail: this.free, bsize: 1, blocks: 2 ** 40 }
  }
}
