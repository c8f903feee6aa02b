/** A process and all that descend from it, for signals that have to reach every one of them. */
import { readdirSync, readFileSync } from 'node:fs'

/** Processes looked at; an engine has a handful. */
const PROCESSES_MAX = 256

/** Rounds of looking for children that were started while their parents were being stopped: a stopped process starts none, so each round is a generation. */
const ROUNDS_MAX = 8

/**
 * Stops or continues a process, its process group and all its descendants. A process group alone is not enough: the sandbox puts what it runs into a
 * session of its own. Returns how many processes were reached; what has ended meanwhile counts for nothing.
 */
export function signalTree (pid: number, signal: 'SIGSTOP' | 'SIGCONT'): number {
  send(-pid, signal)
  const reached = new Set<number>()
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = reached.size
    for (const found of treeOf(pid)) {
      if (reached.has(found)) continue
      reached.add(found)
      send(found, signal)
    }
    if (reached.size === before) break
  }
  return reached.size
}

/** The process and its descendants that are alive, ancestors first. */
export function treeOf (pid: number): number[] {
  const pids = [pid]
  for (let i = 0; i < pids.length && i < PROCESSES_MAX; i++) pids.push(...childrenOf(pids[i] as number))
  return pids
}

/** Any thread may have started them. */
function childrenOf (pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap(thread => childrenOfThread(pid, thread))
  } catch {
    // Gone between two looks (ENOENT, ESRCH).
    return []
  }
}

/** One thread that ends between two looks must not hide the children of the others: they would not be stopped, or not go on. */
function childrenOfThread (pid: number, thread: string): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').flatMap(child => child === '' ? [] : Number(child))
  } catch {
    // Gone as well, or a kernel without that list: then its group is all that is known.
    return []
  }
}

function send (pid: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // ESRCH: it ended by itself. EPERM: a number that is somebody else's by now.
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ESRCH' && code !== 'EPERM') throw error
  }
}
