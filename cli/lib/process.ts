/** Other processes, by id: whether one runs, and whether it is still the same one. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { STOP_LOOK_MS } from './constants.ts'

/** A process that has ended but was not waited for yet (a zombie) does not run. */
export function isRunning (pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return statFields(pid)?.state !== 'Z'
}

/** When a process began, in a form only good for comparison: ids are used again. undefined if it is gone. */
export function startTimeOf (pid: number): string | undefined {
  if (!isRunning(pid)) return undefined
  if (process.platform === 'linux') return statFields(pid)?.started
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    // `ps` fails for a process that is gone.
    return undefined
  }
}

/** Resolves to whether it was gone in time. */
export async function gone (pid: number, started: string, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  while (startTimeOf(pid) === started) {
    if (performance.now() > deadline) return false
    await delay(STOP_LOOK_MS)
  }
  return true
}

/** Signals a process and, where it leads one, its group. False if it is gone or its id is another's by now. */
export function signalGroup (pid: number, started: string, signal: NodeJS.Signals): boolean {
  if (startTimeOf(pid) !== started) return false
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal)
      return true
    } catch (error) {
      // No such group, or gone meanwhile: the process itself is tried next.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return false
}

/** Linux: fields 3 and 22 of /proc/<pid>/stat, behind the name in parentheses, which may hold anything. */
function statFields (pid: number): { state: string, started: string } | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const rest = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: rest[0] ?? '', started: rest[19] ?? '' }
  } catch {
    // It ended in between.
    return undefined
  }
}
