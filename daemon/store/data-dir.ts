/** The data directory: made on first use, locked while open, versioned, private to its user. */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openBlockStore } from './block-store.ts'
import { DIRECTORY_MODE } from './constants.ts'
import { DataDirError, DataDirLockedError, DataDirVersionError, saysNoSpace } from './errors.ts'
import { GuardedLevel, type GuardedLevelInit } from './guarded-level.ts'
import { openJournal } from './journal.ts'
import { migrate, readVersion } from './versions.ts'
import { writeFileAtomically } from './write-file.ts'
import type { BlockStore, DataDir, Journal, StoreLimits } from './index.ts'

export interface DataDirInit extends StoreLimits {
  /** Told of a database that failed and was mended. @default nobody */
  log?: GuardedLevelInit['log']
}

/** Files of a run that was killed while it wrote them; none is anything to anybody. */
export const LEFT_BEHIND = /^(trial-[0-9a-f-]{36}|.+\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/

/**
 * Opens (and on first use makes) a data directory.
 *
 * @throws DataDirLockedError, DataDirVersionError, DataDirError
 */
export async function openDataDir (path: string, { log, ...limits }: DataDirInit = {}): Promise<DataDir> {
  await makeDirectory(path)
  // Looked at before anything is touched: what a newer program wrote stays as it is.
  const version = await readVersion(path).catch(error => { throw explain(error, path) })
  const db = await openDatabase(path, log == null ? {} : { log })
  try {
    await migrate({ path, db }, version)
    for (const name of await readdir(path)) if (LEFT_BEHIND.test(name)) await rm(join(path, name), { force: true })
    const scratch = join(path, 'scratch')
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch, { mode: DIRECTORY_MODE })
    const blocks = await openBlockStore(join(path, 'blocks'), { ...limits, told: path })
    const dir = new OpenDataDir(path, scratch, db, blocks)
    await dir.writeSecret('pid', `${process.pid}\n`)
    return dir
  } catch (error) {
    await db.close()
    throw explain(error, path)
  }
}

class OpenDataDir implements DataDir {
  readonly path: string
  readonly scratch: string
  readonly db: GuardedLevel
  readonly blocks: BlockStore
  readonly #journals = new Map<string, Journal>()
  #closed = false

  constructor (path: string, scratch: string, db: GuardedLevel, blocks: BlockStore) {
    this.path = path
    this.scratch = scratch
    this.db = db
    this.blocks = blocks
  }

  journal (name: string): Journal {
    let journal = this.#journals.get(name)
    if (journal == null) this.#journals.set(name, journal = openJournal(this.db, name, bytes => this.blocks.beside(bytes)))
    return journal
  }

  async writeSecret (name: string, data: Uint8Array | string): Promise<void> {
    await writeFileAtomically(join(this.path, name), data)
  }

  async readFile (name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.path, name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw explain(error, this.path)
    }
  }

  async removeFile (name: string): Promise<void> {
    await rm(join(this.path, name), { force: true })
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const journal of this.#journals.values()) await journal.close()
    try {
      await rm(this.scratch, { recursive: true, force: true })
      await this.removeFile('pid')
    } finally {
      // Whatever the disk says: the lock goes with it.
      await this.db.close()
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }
}

async function makeDirectory (path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
    if (!(await stat(path)).isDirectory()) throw new DataDirError(`${path} is not a directory: choose another data directory with WEFT_HOME`)
  } catch (error) {
    throw explain(error, path)
  }
}

/** The database's own lock (held by the kernel, gone with the process) is the directory's lock. */
export async function openDatabase (path: string, { createIfMissing = true, log }: Partial<GuardedLevelInit> = {}): Promise<GuardedLevel> {
  const db = new GuardedLevel(path, { createIfMissing, ...(log == null ? {} : { log }) })
  try {
    await db.open()
    return db
  } catch (error) {
    const cause = (error as { cause?: { code?: string, message?: string } }).cause
    if (cause?.code === 'LEVEL_LOCKED') {
      const pid = await readFile(join(path, 'pid'), 'utf8').then(text => ` (process ${text.trim()})`, () => '')
      throw new DataDirLockedError(`another weft${pid} is using ${path}: stop it with 'weft stop', or use another data directory with WEFT_HOME`)
    }
    throw explain(cause ?? error, path)
  }
}

function explain (error: unknown, path: string): Error {
  if (error instanceof DataDirError || error instanceof DataDirLockedError || error instanceof DataDirVersionError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    EACCES: 'no permission', EPERM: 'no permission', EROFS: 'the file system is read-only', ENOTDIR: 'a part of the path is a file', EEXIST: 'a file is in the way'
  }
  return new DataDirError(`cannot use the data directory ${path}: ${saysNoSpace(error) ? 'the disk is full' : reasons[code ?? ''] ?? message}; choose another with WEFT_HOME or mend it`, { cause: error })
}
