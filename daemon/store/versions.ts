/** The format of a data directory: which it has, and how an older one becomes the present one. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Level } from 'level'
import { DATA_DIR_VERSION } from './constants.ts'
import { DataDirError, DataDirVersionError } from './errors.ts'
import { writeFileAtomically } from './write-file.ts'

/** Brings a directory from one version to the next. It may be run again over what a crash left of an earlier try. */
export type Migration = (dir: { path: string, db: Level<string, Uint8Array> }) => Promise<void>

/** Entry n brings version n + 1 to version n + 2. Empty while there is one version. */
const MIGRATIONS: Migration[] = []

/** The version a directory has; undefined if none was ever written. @throws DataDirVersionError for a newer one, DataDirError for what is no version */
export async function readVersion (path: string, known = DATA_DIR_VERSION): Promise<number | undefined> {
  const file = join(path, 'version')
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text == null) return undefined
  const found = Number(text.trim())
  if (!Number.isSafeInteger(found) || found < 1) throw new DataDirError(`${file} does not hold a version number: restore it, or move ${path} away to start anew`)
  if (found > known) throw new DataDirVersionError(`${path} has format ${found}, this program knows up to ${known}: use a newer weft`)
  return found
}

/**
 * Runs what is missing, one version after the other, each recorded when it is done. Only while the directory is locked.
 *
 * @param found - as `readVersion` gave it
 */
export async function migrate (dir: { path: string, db: Level<string, Uint8Array> }, found: number | undefined, migrations: readonly Migration[] = MIGRATIONS, known = DATA_DIR_VERSION): Promise<void> {
  const record = async (version: number): Promise<void> => { await writeFileAtomically(join(dir.path, 'version'), `${version}\n`) }
  if (found == null) await record(known)
  for (let version = found ?? known; version < known; version++) {
    const step = migrations[version - 1]
    if (step == null) throw new DataDirError(`${dir.path} has format ${version}, and this program has no way from it to ${version + 1}`)
    await step(dir)
    await record(version + 1)
  }
}
