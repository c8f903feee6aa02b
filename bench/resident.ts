/** Resident memory of daemons and of what they started, from /proc. */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds between two looks: several per block, and too few to cost anything. */
const LOOK_MS = 200

/** MiB; `high` is the kernel's own high-water mark. */
interface Status { rss: number, high: number, parent: number }

export interface Look {
  /** What the caller said of this moment, for instance how much of a job is done. */
  at: number
  daemons: Map<number, Status>
  /** Processes below a daemon: its engines. */
  engines: Map<number, Status>
}

async function statusOf (pid: string): Promise<Status | undefined> {
  // A process may end between being listed and being read.
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined)
  if (text == null) return undefined
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return { rss: field('VmRSS') / 1024, high: field('VmHWM') / 1024, parent: field('PPid') }
}

export async function look (daemons: number[], at = 0): Promise<Look> {
  const all = new Map<number, Status>()
  for (const name of await readdir('/proc')) {
    const status = /^\d+$/.test(name) ? await statusOf(name) : undefined
    if (status != null) all.set(Number(name), status)
  }
  const found: Look = { at, daemons: new Map(), engines: new Map() }
  for (const [pid, status] of all) {
    if (daemons.includes(pid)) {
      found.daemons.set(pid, status)
      continue
    }
    let above: number | undefined = status.parent
    while (above != null && !daemons.includes(above)) above = all.get(above)?.parent
    if (above != null) found.engines.set(pid, status)
  }
  return found
}

/** Looks again and again while `work` runs, and once more at its end; what `work` throws passes through. */
export async function watch<T> (daemons: number[], at: () => number, work: () => Promise<T>): Promise<{ value: T, looks: Look[] }> {
  const looks: Look[] = []
  let over = false
  const looking = (async () => {
    while (!over) {
      looks.push(await look(daemons, at()))
      await delay(LOOK_MS)
    }
  })()
  try {
    const value = await work()
    looks.push(await look(daemons, at()))
    return { value, looks }
  } finally {
    over = true
    await looking
  }
}

/** High-water marks over all looks, MiB. */
export const highOf = (looks: Look[], daemons: number[]): number => Math.max(0, ...looks.flatMap(found => daemons.map(pid => found.daemons.get(pid)?.high ?? 0)))
export const engineHighOf = (looks: Look[]): number => Math.max(0, ...looks.flatMap(({ engines }) => [...engines.values()].map(({ high }) => high)))
export const enginesAtOnceOf = (looks: Look[]): number => Math.max(0, ...looks.map(({ engines }) => [...engines.values()].reduce((sum, { rss }) => sum + rss, 0)))
