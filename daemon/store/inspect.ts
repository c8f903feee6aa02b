/** Looks into a data directory that no daemon is using, for checks of it. Nothing is made, repaired or removed, and no entry can be written. */
import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BLOCK_NAME } from './block-store.ts'
import { LEFT_BEHIND, openDatabase } from './data-dir.ts'
import { openJournal } from './journal.ts'
import type { DataDirInspection } from './index.ts'

/**
 * Opens a data directory to be looked at. While it is open no daemon can start on it.
 *
 * @returns undefined if no node has kept anything there yet
 * @throws DataDirLockedError while another process uses it; DataDirError where its database cannot be read
 */
export async function inspectDataDir (path: string): Promise<DataDirInspection | undefined> {
  if (!await stat(join(path, 'db', 'CURRENT')).then(() => true, () => false)) return undefined
  const db = await openDatabase(path, { createIfMissing: false })
  const names = async (folder: string): Promise<string[]> => await readdir(join(path, folder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [/* nothing was ever put there */]
    throw error
  })
  return {
    entries: (journal, prefix) => openJournal(db, journal).entries(prefix),
    blocks: async () => (await names('blocks')).filter(name => BLOCK_NAME.test(name)).map(name => ({ digest: name, path: join(path, 'blocks', name) })),
    leftovers: async () => {
      const paths = [
        ...(await names('.')).filter(name => LEFT_BEHIND.test(name)).map(name => join(path, name)),
        ...(await names(INCOMING)).map(name => join(path, INCOMING, name)),
        ...(await names('scratch')).map(name => join(path, 'scratch', name))
      ]
      return await Promise.all(paths.map(async each => ({ path: each, bytes: await bytesOf(each) })))
    },
    close: async () => { await db.close() },
    [Symbol.asyncDispose]: async () => { await db.close() }
  }
}

/** Where blocks are that are just arriving. */
const INCOMING = join('blocks', 'incoming')

/** Of a file, or of all files in a folder. */
async function bytesOf (path: string): Promise<number> {
  const found = await lstat(path)
  if (!found.isDirectory()) return found.size
  let bytes = 0
  for (const name of await readdir(path)) bytes += await bytesOf(join(path, name))
  return bytes
}
