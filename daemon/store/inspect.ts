/** Looks into a data directory that no daemon is using, for checks of it. Nothing is made, repaired or removed, and no entry can be written. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openDatabase } from './data-dir.ts'
import { openJournal } from './journal.ts'
import type { DataDirInspection } from './index.ts'

/** A stored block's name: the hex of its sha2-256. */
const BLOCK_NAME = /^[0-9a-f]{64}$/

/**
 * Opens a data directory to be looked at. While it is open no daemon can start on it.
 *
 * @returns undefined if no node has kept anything there yet
 * @throws DataDirLockedError while another process uses it; DataDirError where its database cannot be read
 */
export async function inspectDataDir (path: string): Promise<DataDirInspection | undefined> {
  if (!await stat(join(path, 'db', 'CURRENT')).then(() => true, () => false)) return undefined
  const db = await openDatabase(path, { createIfMissing: false })
  return {
    entries: (journal, prefix) => openJournal(db, journal).entries(prefix),
    blocks: async () => {
      const folder = join(path, 'blocks')
      const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [/* no node has stored a block yet */]
        throw error
      })
      return names.filter(name => BLOCK_NAME.test(name)).map(name => ({ digest: name, path: join(folder, name) }))
    },
    close: async () => { await db.close() },
    [Symbol.asyncDispose]: async () => { await db.close() }
  }
}
