/** What a process and its descendants use, from /proc. */
import { readFileSync } from 'node:fs'

export interface Usage {
  /** Resident bytes, summed. */
  rssBytes: number
  /** CPU milliseconds of those alive, summed; in steps of 10 ms. */
  cpuMs: number
}

/** Milliseconds per tick of the CPU times in /proc: USER_HZ is 100 on every architecture Node runs on. */
export const TICK_MS = 10

/** Descendants looked at; an engine has a handful. */
const PROCESSES_MAX = 256

/** Type of the page-size entry in the auxiliary vector (AT_PAGESZ). */
const PAGE_SIZE_ENTRY = 6n

const pageBytes = readPageBytes()

/**
 * Usage of a process and its descendants; zero for what has ended. Descendants are found through the children of main
 * threads, which is where Node and the sandbox spawn theirs. A kernel without that list shows the process alone, and
 * RLIMIT_DATA is then the limit that counts.
 */
export function usageOfTree (pid: number): Usage {
  const usage: Usage = { rssBytes: 0, cpuMs: 0 }
  const pids = [pid]
  for (let i = 0; i < pids.length && i < PROCESSES_MAX; i++) {
    const current = pids[i] ?? 0
    const stat = read(`/proc/${current}/stat`)
    if (stat == null) continue
    // The name in brackets may hold anything; fields are counted from the last bracket. State is the third of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    usage.cpuMs += (Number(fields[11]) + Number(fields[12])) * TICK_MS
    usage.rssBytes += Number(fields[21]) * pageBytes
    for (const child of (read(`/proc/${current}/task/${current}/children`) ?? '').split(' ')) if (child !== '') pids.push(Number(child))
  }
  return usage
}

/** undefined if it has ended meanwhile. */
function read (path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // Gone between two looks (ENOENT, ESRCH): the ordinary end of a process.
    return undefined
  }
}

function readPageBytes (): number {
  try {
    const vector = readFileSync('/proc/self/auxv')
    for (let at = 0; at + 16 <= vector.byteLength; at += 16) {
      if (vector.readBigUInt64LE(at) === PAGE_SIZE_ENTRY) return Number(vector.readBigUInt64LE(at + 8))
    }
  } catch {
    // No /proc: usage reads as zero anyway, so the page size does not matter.
  }
  return 4096
}
