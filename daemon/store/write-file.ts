/** Small files that are there whole or not at all, whatever happens meanwhile. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SECRET_MODE } from './constants.ts'

/** Written aside, synced, renamed; readable by the user alone. On failure what was there before stays as it was. */
export async function writeFileAtomically (path: string, data: Uint8Array | string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    const file = await open(aside, 'wx', SECRET_MODE)
    try {
      await file.writeFile(data)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
  } catch (error) {
    // What cannot be removed now is removed at the next start.
    await rm(aside, { force: true }).catch(() => {})
    throw error
  }
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
