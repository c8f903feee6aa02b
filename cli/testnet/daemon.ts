/** One daemon of a test network: its folder, its process, and when it is ready. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RESERVED_PREFIXES } from '../../daemon/config/constants.ts'
import type { NodeStatus } from '../../daemon/gateway/index.ts'
import { findDaemon } from '../lib/client.ts'
import { Failure, oneLine } from '../lib/failure.ts'
import { startTimeOf } from '../lib/process.ts'
import { LOG_LINES, LOOK_MS, READY_MS } from './constants.ts'
import { lives, type TestNode } from './state.ts'

const weft = join(import.meta.dirname, '..', '..', 'bin', 'weft')

export interface Running { pid: number, started: string, status: NodeStatus }

export async function writeConfig (dataDir: string, config: Record<string, unknown>): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  await writeFile(join(dataDir, 'config.json'), `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
}

/** Starts the daemon of a folder in a process group of its own, and waits until it is ready. */
export async function startDaemon ({ name, dataDir, log, cache }: { name: string, dataDir: string, log: string, cache: string }, born: (process: { pid: number, started: string }) => void): Promise<Running> {
  // Left by a killed one; it would be taken for the new one's.
  await rm(join(dataDir, 'api'), { force: true })
  const file = openSync(log, 'a')
  const child = spawn(process.execPath, [weft, 'start'], { detached: true, stdio: ['ignore', file, file], env: environment(dataDir, cache) })
  closeSync(file)
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', error => { reject(new Failure('failed', `${name} cannot be started: ${error.message}`)) })
    child.once('exit', (code, signal) => { void endedEarly(name, log, code, signal).then(reject) })
  })
  // Long after the start the daemon may end as it likes.
  failed.catch(() => {})
  child.unref()
  const { pid } = child
  if (pid == null) return await failed
  const started = startTimeOf(pid)
  if (started == null) return await failed
  born({ pid, started })
  const status = await Promise.race([failed, ready(name, dataDir, pid, log)])
  return { pid, started, status }
}

async function ready (name: string, dataDir: string, pid: number, log: string): Promise<NodeStatus> {
  const deadline = performance.now() + READY_MS
  while (performance.now() < deadline) {
    const client = await findDaemon(dataDir)
    if (client != null) {
      const answer = await fetch(`${client.url}/readyz`).catch(() => undefined)
      if (answer?.ok === true) {
        const status = await client.status()
        if (status.pid === pid) return status
      }
    }
    await delay(LOOK_MS)
  }
  throw new Failure('failed', `${name} is not ready after ${READY_MS / 1000} s: see ${log}`, { log })
}

async function endedEarly (name: string, log: string, code: number | null, signal: NodeJS.Signals | null): Promise<Failure> {
  const text = await readFile(log, 'utf8').catch(() => '')
  const last = text.trim().split('\n').slice(-LOG_LINES).join('\n')
  return new Failure('failed', `${name} ended at its start (${signal ?? `exit code ${code ?? ''}`}): ${oneLine(last) || `see ${log}`}`, { log })
}

/** Our own settings must not reach the daemons; what tests and benches hand on must. */
function environment (dataDir: string, cache: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('WEFT_') || RESERVED_PREFIXES.some(prefix => name.startsWith(prefix)))
  return { NODE_COMPILE_CACHE: cache, ...Object.fromEntries(kept), WEFT_HOME: dataDir }
}

/** Peer ids a node knows, and those it is connected to. */
export async function knownTo (node: TestNode): Promise<{ known: Set<string>, connected: Set<string> }> {
  const client = lives(node) ? await findDaemon(node.dataDir) : undefined
  const nodes = client == null ? [] : (await client.nodes({ limit: '1000' })).nodes
  return { known: new Set(nodes.map(({ peer }) => peer)), connected: new Set(nodes.filter(({ connected, self }) => connected || self).map(({ peer }) => peer)) }
}
