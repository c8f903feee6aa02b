/** `DIR/testnet.json`: what a test network consists of. Written atomically, by one command at a time. */
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../lib/failure.ts'
import { isRunning, startTimeOf } from '../lib/process.ts'
import { LOCK_MS, LOOK_MS } from './constants.ts'

export interface TestNode {
  name: string
  peerId: string
  multiaddrs: string[]
  api: string
  tokenFile: string
  pid: number
  dataDir: string
  log: string
  /** As the last command left it; a process that ended by itself is found out by looking. */
  state: 'running' | 'paused' | 'stopped' | 'killed'
  /** Start of the process, to tell it from another one with the same id. */
  started: string
  /** It is to be started again whenever it ends by itself. */
  crashes?: boolean
}

/** What is wrong with the way from one node to another; the way back is another link. */
export interface Link {
  from: string
  to: string
  /** Nothing arrives. */
  blocked?: boolean
  delayMs?: number
  jitterMs?: number
  loss?: number
  bytesPerSecond?: number
}

export interface TestnetState {
  network: string
  seed: string
  nodes: TestNode[]
  /** Only those with a fault. @default none */
  links?: Link[]
  /** How often the links were changed. @default 0 */
  linksVersion?: number
  /** The process in the foreground that takes the network down when it ends; none for one that was left running. */
  supervisor?: { pid: number, started: string }
}

const fileOf = (dir: string): string => join(dir, 'testnet.json')

/** undefined if there is none. */
export async function readState (dir: string): Promise<TestnetState | undefined> {
  let text: string
  try {
    text = await readFile(fileOf(dir), 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
  try {
    return JSON.parse(text) as TestnetState
  } catch (error) {
    throw new Failure('failed', `${fileOf(dir)} is damaged: remove it, and end the daemons it was for by hand`, { dir }, { cause: error })
  }
}

export async function requireState (dir: string): Promise<TestnetState> {
  const state = await readState(dir)
  if (state == null) throw new Failure('no-testnet', `no test network in ${dir}: start one with 'weft testnet up --dir ${dir}', or name its folder with --dir`, { dir })
  return state
}

export async function writeState (dir: string, state: TestnetState): Promise<void> {
  const aside = `${fileOf(dir)}.${process.pid}`
  await writeFile(aside, `${JSON.stringify(state, null, 2)}\n`)
  await rename(aside, fileOf(dir))
}

export async function removeState (dir: string): Promise<void> {
  await rm(fileOf(dir), { force: true })
}

/** Changes one node's entry. */
export async function updateNode (dir: string, name: string, changes: Partial<TestNode>): Promise<TestnetState> {
  return await updateState(dir, state => ({ ...state, nodes: state.nodes.map(node => node.name === name ? { ...node, ...changes } : node) }))
}

/** No other command changes the state meanwhile. */
export async function updateState (dir: string, change: (state: TestnetState) => Promise<TestnetState> | TestnetState): Promise<TestnetState> {
  // Where there is no network there may be no folder for the lock.
  await requireState(dir)
  return await locked(dir, async () => {
    const next = await change(await requireState(dir))
    await writeState(dir, next)
    return next
  })
}

export function nodeOf (state: TestnetState, name: string): TestNode {
  const node = state.nodes.find(candidate => candidate.name === name)
  if (node == null) throw new Failure('usage', `no node '${name}': this network has ${state.nodes.map(candidate => candidate.name).join(', ')}`, { name })
  return node
}

export const lives = ({ pid, started }: { pid: number, started: string }): boolean => startTimeOf(pid) === started

/** A file made exclusively; one whose maker is gone does not count. */
async function locked<T> (dir: string, act: () => Promise<T>): Promise<T> {
  const path = join(dir, 'testnet.lock')
  const deadline = performance.now() + LOCK_MS
  for (;;) {
    try {
      const file = await open(path, 'wx')
      await file.writeFile(String(process.pid))
      await file.close()
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const holder = Number(await readFile(path, 'utf8').catch(() => ''))
      if (holder > 0 && !isRunning(holder)) await rm(path, { force: true })
      else if (performance.now() > deadline) throw new Failure('failed', `another command holds ${path}: wait for it, or remove the file`, { path })
      else await delay(LOOK_MS)
    }
  }
  try {
    return await act()
  } finally {
    await rm(path, { force: true })
  }
}
