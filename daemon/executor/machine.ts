/** What the machine says of itself, from /proc and /sys. Where it says nothing, nothing is known and nothing is limited. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MachineSample } from './availability.ts'
import { treeOf } from './process-tree.ts'
import { TICK_MS } from './usage.ts'

const POWER_SUPPLIES = '/sys/class/power_supply'

export function readMachine (): MachineSample {
  return { at: performance.now(), busyMs: busyMs(read('/proc/stat')), ownMs: ownMs(process.pid), onBattery: onBattery(POWER_SUPPLIES) }
}

/** CPU milliseconds of all cores together, those idle or waiting for disks left out, from the text of /proc/stat. */
export function busyMs (stat: string | undefined): number | undefined {
  const line = stat?.split('\n').find(text => text.startsWith('cpu '))
  if (line == null) return undefined
  // user nice system idle iowait irq softirq steal; guest times are part of user and nice already
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.trim().split(/\s+/).slice(1).map(Number)
  return (user + nice + system + irq + softirq + steal) * TICK_MS
}

/** CPU milliseconds of a process, its descendants, and those of them that have ended: a parent inherits the times of the children it waited for. */
export function ownMs (pid: number): number {
  let ticks = 0
  for (const one of treeOf(pid)) {
    const stat = read(`/proc/${one}/stat`)
    if (stat == null) continue
    // Counted from behind the name, which may hold anything: utime, stime, and the same of children.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    for (let at = 11; at <= 14; at++) ticks += Number(fields[at])
  }
  return ticks * TICK_MS
}

/** Whether a battery of the machine is being emptied and no mains is there. A battery of a mouse or a headset does not count. */
export function onBattery (folder: string): boolean {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    // No such list: a machine without batteries, a container, or a system that tells nothing.
    return false
  }
  let discharging = false
  for (const name of names) {
    const field = (file: string): string => read(join(folder, name, file))?.trim() ?? ''
    if (field('scope') === 'Device') continue
    if (field('type') === 'Battery') discharging ||= field('status') === 'Discharging'
    else if (field('online') === '1') return false
  }
  return discharging
}

/** undefined if it cannot be read: gone meanwhile, or not there at all. */
function read (path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // What is not told is not known; the caller says what that means.
    return undefined
  }
}
