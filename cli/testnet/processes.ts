/** What a process has started, directly and indirectly. */
import { readdir, readFile } from 'node:fs/promises'
import { startTimeOf } from '../lib/process.ts'

export interface Descendant { pid: number, started: string, /** The last part of its command. */ what: string }

/** Empty where the system has no /proc. */
export async function descendants (root: number): Promise<Descendant[]> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc').catch((): string[] => [])) {
    if (!/^\d+$/.test(name)) continue
    // Gone in between.
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    parents.set(Number(name), Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]))
  }
  const found: Descendant[] = []
  const walk = async (parent: number): Promise<void> => {
    for (const [pid, of] of parents) {
      if (of !== parent) continue
      const started = startTimeOf(pid)
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').filter(Boolean)
      if (started != null) found.push({ pid, started, what: command.find(word => /\.(ts|mjs|js)$/.test(word))?.split('/').at(-1) ?? command[0] ?? 'process' })
      await walk(pid)
    }
  }
  await walk(root)
  return found
}
