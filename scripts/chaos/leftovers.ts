/** What must not be there when all is over: blocks and scratch files in data directories, halves of outputs, processes. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { deepChecks } from '../../cli/lib/doctor-deep.ts'
import { inspectDataDir } from '../../daemon/store/index.ts'

/** Of data directories whose daemons have ended. */
export async function leftInDataDir (name: string, dataDir: string): Promise<string[]> {
  const found: string[] = []
  for (const { name: check, state, says } of await deepChecks(dataDir)) if (state !== 'ok') found.push(`${name}: doctor --deep: ${check}: ${says}`)
  await using inspection = await inspectDataDir(dataDir)
  if (inspection == null) return found
  const [blocks, leftovers] = [await inspection.blocks(), await inspection.leftovers()]
  if (blocks.length > 0) found.push(`${name}: ${blocks.length} blocks in the store that belong to no running job, the first: ${blocks[0]?.path}`)
  if (leftovers.length > 0) found.push(`${name}: ${leftovers.length} files left behind, the first: ${leftovers[0]?.path}`)
  return found
}

/** Files in the folder of outputs that are neither inputs nor references. */
export async function leftOutputs (folder: string, known: RegExp): Promise<string[]> {
  return (await readdir(folder)).filter(name => !known.test(name)).map(name => `left in the folder of outputs: ${join(folder, name)}`)
}

/** Living processes, other than this one, that name the folder in their environment, arguments or working directory. */
export async function leftProcesses (folder: string): Promise<Array<{ pid: number, says: string }>> {
  const found: Array<{ pid: number, says: string }> = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    // One that ends while it is looked at is not left.
    const read = async (file: string): Promise<string> => await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
    const [environment, args, cwd] = [await read('environ'), await read('cmdline'), await readlink(`/proc/${pid}/cwd`).catch(() => '')]
    if ([environment, args, cwd].some(text => text.includes(folder))) found.push({ pid: Number(pid), says: `process ${pid} is left: ${args.replaceAll('\0', ' ').slice(0, 200)}` })
  }
  return found
}

/** Lines of a daemon's log at level error and above, by message: how often, and one of them. */
export async function errorsIn (log: string): Promise<Map<string, { count: number, line: string }>> {
  const found = new Map<string, { count: number, line: string }>()
  for (const line of (await readFile(log, 'utf8')).split('\n')) {
    const message = errorOf(line)
    if (message == null) continue
    const entry = found.get(message) ?? { count: 0, line }
    entry.count++
    found.set(message, entry)
  }
  return found
}

/** pino's number for errors. */
const ERROR_LEVEL = 50

function errorOf (line: string): string | undefined {
  if (/unhandled|uncaught|FATAL|^\s+at /i.test(line) && !line.startsWith('{')) return line.trim().slice(0, 120)
  if (!line.startsWith('{')) return undefined
  try {
    const { level, msg } = JSON.parse(line) as { level?: number | string, msg?: string }
    return level === 'error' || level === 'fatal' || Number(level) >= ERROR_LEVEL ? msg ?? '(no message)' : undefined
  } catch {
    // Cut off by a kill.
    return undefined
  }
}
