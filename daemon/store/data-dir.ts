/** The data directory: made on first use, locked while open, versioned, private to its user. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import { openBlockStore } from './block-store.ts'
import { DATA_DIR_VERSION, DIRECTORY_MODE, SECRET_MODE } from './constants.ts'
import { DataDirError, DataDirLockedError, DataDirVersionError } from './errors.ts'
import { openJournal } from './journal.ts'
import type { BlockStore, DataDir, Journal } from './index.ts'

/** Numbered forward migrations: entry n brings version n + 1 to version n + 2. Empty while there is one version. */
const MIGRATIONS: Array<(path: string) => Promise<void>> = []

/**
 * Opens (and on first use makes) a data directory.
 *
 * @throws DataDirLockedError, DataDirVersionError, DataDirError
 */
export async function openDataDir (path: string): Promise<DataDir> {
  await makeDirectory(path)
  await checkVersion(path)
  const db = await openDatabase(path)
  try {
    const scratch = join(path, 'scratch')
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch, { mode: DIRECTORY_MODE })
    const blocks = await openBlockStore(join(path, 'blocks'))
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
  readonly db: Level<string, Uint8Array>
  readonly blocks: BlockStore
  readonly #journals = new Map<string, Journal>()
  #closed = false

  constructor (path: string, scratch: string, db: Level<string, Uint8Array>, blocks: BlockStore) {
    this.path = path
    this.scratch = scratch
    this.db = db
    this.blocks = blocks
  }

  journal (name: string): Journal {
    let journal = this.#journals.get(name)
    if (journal == null) this.#journals.set(name, journal = openJournal(this.db, name))
    return journal
  }

  async writeSecret (name: string, data: Uint8Array | string): Promise<void> {
    const target = join(this.path, name)
    const aside = `${target}.${randomUUID()}`
    const handle = await open(aside, 'wx', SECRET_MODE)
    try {
      await handle.writeFile(data)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(aside, target)
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
    await rm(this.scratch, { recursive: true, force: true })
    await this.removeFile('pid')
    await this.db.close()
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

async function checkVersion (path: string): Promise<void> {
  const file = join(path, 'version')
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw explain(error, path)
    await writeFile(file, `${DATA_DIR_VERSION}\n`, { mode: SECRET_MODE }).catch(cause => { throw explain(cause, path) })
    return
  }
  const found = Number(text.trim())
  if (!Number.isSafeInteger(found) || found < 1) throw new DataDirError(`${file} does not hold a version number: restore it, or move ${path} away to start anew`)
  if (found > DATA_DIR_VERSION) throw new DataDirVersionError(`${path} has format ${found}, this program knows up to ${DATA_DIR_VERSION}: use a newer weft`)
  for (let version = found; version < DATA_DIR_VERSION; version++) {
    await MIGRATIONS[version - 1]?.(path)
    await writeFile(file, `${version + 1}\n`, { mode: SECRET_MODE })
  }
}

/** The database's own lock (held by the kernel, gone with the process) is the directory's lock. */
export async function openDatabase (path: string, { createIfMissing = true } = {}): Promise<Level<string, Uint8Array>> {
  const db = new Level<string, Uint8Array>(join(path, 'db'), { keyEncoding: 'utf8', valueEncoding: 'view', createIfMissing })
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
    EACCES: 'no permission', EPERM: 'no permission', ENOSPC: 'the disk is full', EROFS: 'the file system is read-only', ENOTDIR: 'a part of the path is a file', EEXIST: 'a file is in the way'
  }
  return new DataDirError(`cannot use the data directory ${path}: ${reasons[code ?? ''] ?? message}; choose another with WEFT_HOME or mend it`, { cause: error })
}
