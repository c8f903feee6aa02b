/** Where an output is while it is not at its final name yet, and what a crash can leave of that. */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PARTIAL_NAME_BYTES, PARTIAL_PREFIX_BYTES } from './constants.ts'

/** What is being written. */
const PARTIAL_SUFFIX = '.weft-partial'

/** A folder that is being replaced: away for the instant between two renames. */
const REPLACED_SUFFIX = '.weft-replaced'

/** A new name beside the final one, on the same file system. */
export const partialPath = (finalPath: string): string => beside(finalPath, PARTIAL_SUFFIX)
export const replacedPath = (finalPath: string): string => beside(finalPath, REPLACED_SUFFIX)

function beside (finalPath: string, suffix: string): string {
  return join(dirname(finalPath), partialPrefix(finalPath) + randomBytes(PARTIAL_NAME_BYTES).toString('hex') + suffix)
}

function partialPrefix (finalPath: string): string {
  const name = Buffer.from(basename(finalPath))
  return `.${name.subarray(0, PARTIAL_PREFIX_BYTES).toString('latin1').replaceAll(/[^\x20-\x7e]/g, '_')}.`
}

/**
 * Removes what a crashed process left of this output, files and folders, and gives a folder that was just being replaced its name back. Returns
 * how many. No job may be writing it.
 */
export async function removePartials (finalPath: string): Promise<number> {
  const folder = dirname(finalPath)
  const prefix = partialPrefix(finalPath)
  let removed = 0
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names) {
    const suffix = [PARTIAL_SUFFIX, REPLACED_SUFFIX].find(candidate => name.endsWith(candidate))
    if (!name.startsWith(prefix) || suffix == null) continue
    const random = name.slice(prefix.length, -suffix.length)
    if (!/^[0-9a-f]+$/.test(random) || random.length !== 2 * PARTIAL_NAME_BYTES) continue
    const path = join(folder, name)
    if (suffix === REPLACED_SUFFIX && await lstatIfThere(finalPath) == null) await rename(path, finalPath)
    else await rm(path, { recursive: true, force: true })
    removed++
  }
  return removed
}

export async function lstatIfThere (path: string): Promise<Stats | undefined> {
  return await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

/** An error as the file system would give it. */
export function systemError (code: string, what: string, path: string): Error {
  return Object.assign(new Error(`${code}: '${path}' ${what}`), { code, path })
}

export async function syncFolder (path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
