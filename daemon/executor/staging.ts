/**
 * Getting a block into a process's folder and its output out of it. The workspace itself is never visible to a sandboxed
 * engine: the input is linked in, the output is renamed out, so whatever an engine still holds open or leaves behind
 * reaches no other block. What it made is looked at before it is used: only a regular file is an output.
 */
import { constants } from 'node:fs'
import { copyFile, link, lstat, readdir, rename, unlink, writeFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { INLINE_BYTES_MAX, INPUT_NAME, OUTPUT_NAME } from './constants.ts'
import type { EngineTask, Workspace } from './index.ts'

/** Where a staged input is found by the engine, whose own view of its folder is `inner`. */
export type StagedInput = { path: string, size: number } | { bytes: Uint8Array }

/** Errors of a hard link that a copy does not have: another file system, none that links, too many links. */
const NO_LINK = new Set(['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])

/** Throws a TypeError for an input that is no regular file in the task's workspace, a system error for the rest. */
export async function stage (task: EngineTask, folder: string, inner: string): Promise<StagedInput> {
  const { input, workspace } = task
  const staged = join(folder, INPUT_NAME)
  const path = join(inner, INPUT_NAME)
  if ('bytes' in input) {
    if (input.bytes.byteLength <= INLINE_BYTES_MAX) return { bytes: input.bytes }
    await writeFile(staged, input.bytes)
    return { path, size: input.bytes.byteLength }
  }
  if (!input.path.startsWith(workspace.path + sep)) throw new TypeError(`input ${input.path} is not in its workspace ${workspace.path}`)
  const found = await lstat(input.path)
  if (!found.isFile()) throw new TypeError(`input ${input.path} is not a regular file`)
  await link(input.path, staged).catch(async (error: NodeJS.ErrnoException) => {
    if (!NO_LINK.has(error.code ?? '')) throw error
    await copyFile(input.path, staged, constants.COPYFILE_FICLONE)
  })
  return { path, size: found.size }
}

/** Moves the output into the workspace. undefined if there is none; throws TypeError if it is not a regular file. */
export async function collect (workspace: Workspace, folder: string): Promise<{ path: string, size: number } | undefined> {
  const path = join(workspace.path, OUTPUT_NAME)
  try {
    await rename(join(folder, OUTPUT_NAME), path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const found = await lstat(path)
  if (found.isFile()) return { path, size: found.size }
  await unlink(path).catch(() => {
    // A folder or something stranger: it goes with the workspace, and nobody is told its path.
  })
  throw new TypeError('the engine left something else than a file for an output')
}

/**
 * Empties a process's folder of what belongs there and tells whether it is empty now. It removes nothing else: while
 * the process lives, walking into folders it made could be led elsewhere.
 */
export async function clear (folder: string): Promise<boolean> {
  for (const name of [INPUT_NAME, OUTPUT_NAME]) {
    await unlink(join(folder, name)).catch(() => {
      // Usually not there; anything that stays is seen by the listing below.
    })
  }
  try {
    return (await readdir(folder)).length === 0
  } catch {
    // Unreadable: as good as not empty, the process gets a new folder by being replaced.
    return false
  }
}
