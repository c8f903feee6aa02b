/** Networks whose workers can be struck by faults, at an instant known to a millisecond. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { signalGroup, startTimeOf } from '../cli/lib/process.ts'
import { heal as healLinks, partition } from '../cli/testnet/links.ts'
import { startTestnet, type Testnet } from '../test/fixtures/testnet.ts'
import type { Requester } from './recovery-job.ts'

export interface Victim { name: string, peerId: string }

/** UTC milliseconds. */
export interface Strike {
  at: number
  /** When the kernel had closed the killed process's sockets: nobody can know of its death before. */
  closed?: Promise<number>
}

/** One requester and its workers. */
export interface Network {
  /** A folder for inputs and outputs. */
  dir: string
  requester: Requester
  workers: Victim[]
  strike: (fault: FaultName, victim: Victim) => Promise<Strike>
  /** Resolves once the worker is connected to the requester again. */
  heal: (fault: FaultName, victim: Victim) => Promise<void>
  down: () => Promise<void>
}

/**
 * - `sigkill`: the daemon and its engines are gone, and the kernel closes their connections
 * - `freeze`: they neither run nor go away (SIGSTOP)
 * - `blackhole`: they run, and no packet comes through in either direction
 */
export type FaultName = 'sigkill' | 'freeze' | 'blackhole'

/** Workers, beside the requester; and engine processes of each. */
export const WORKERS = 5
export const WORKER_SLOTS = 2

/** Milliseconds for a worker to be seen by the requester again, at most; and between two looks. */
const BACK_MS = 60_000
const LOOK_MS = 50

/** Daemons on loopback; a black hole is one that the daemons' own sockets make (`testnet partition`). */
export async function localNetwork (seed: number, profiles: object[] = []): Promise<Network> {
  const testnet = await startTestnet({ nodes: WORKERS + 1, seed, profile: { nodes: Array.from({ length: WORKERS + 1 }, (_, i) => ({ cores: WORKER_SLOTS, ...profiles[i] })) } })
  const requester = testnet.node('n0')
  return {
    dir: testnet.dir,
    requester,
    workers: testnet.nodes.filter(node => node !== requester),
    strike: async (fault, victim) => {
      if (fault === 'sigkill') {
        const { closed } = await watchSocket(testnet.node(victim.name).api)
        return { at: await signalNode(testnet, victim, 'SIGKILL'), closed }
      }
      if (fault === 'freeze') return { at: await signalNode(testnet, victim, 'SIGSTOP') }
      // Before the daemons are told, which takes some milliseconds: what is measured is never less than what it took.
      const at = Date.now()
      await partition(testnet.dir, [victim.name])
      return { at }
    },
    heal: async (fault, victim) => {
      if (fault === 'blackhole') await healLinks(testnet.dir)
      else if (fault === 'freeze') await signalNode(testnet, victim, 'SIGCONT')
      else await verb(testnet, 'start', victim.name)
      await connected(requester, [victim.peerId])
    },
    down: testnet.down
  }
}

async function signalNode (testnet: Testnet, { name }: Victim, signal: NodeJS.Signals): Promise<number> {
  const { pid } = (await testnet.reload()).find(node => node.name === name) ?? {}
  const started = pid == null ? undefined : startTimeOf(pid)
  const at = Date.now()
  if (pid == null || started == null || !signalGroup(pid, started, signal)) throw new Error(`${name} does not run and cannot get ${signal}`)
  return at
}

/** An idle connection to a daemon, and when it ends. */
async function watchSocket (api: string): Promise<{ closed: Promise<number> }> {
  const socket = connect(Number(new URL(api).port), new URL(api).hostname)
  // A reset is an end, too.
  socket.on('error', () => {})
  const closed = new Promise<number>(resolve => socket.once('close', () => { resolve(Date.now()) }))
  await once(socket, 'connect')
  return { closed }
}

export async function verb (testnet: Testnet, ...args: string[]): Promise<void> {
  const { code, stderr } = await testnet.verb(...args)
  if (code !== 0) throw new Error(`scripts/testnet ${args.join(' ')} ended with ${code}: ${stderr}`)
}

/** Resolves once the node is connected to all of these peers. */
export async function connected ({ api, tokenFile }: Requester, peers: string[]): Promise<void> {
  const authorization = `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`
  const deadline = performance.now() + BACK_MS
  for (;;) {
    const { nodes } = await (await fetch(`${api}/nodes?limit=1000`, { headers: { authorization } })).json() as { nodes: Array<{ peer: string, connected: boolean }> }
    const there = new Set(nodes.filter(node => node.connected).map(({ peer }) => peer))
    const missing = peers.filter(peer => !there.has(peer))
    if (missing.length === 0) return
    if (performance.now() > deadline) throw new Error(`${missing.join(', ')} not connected after ${BACK_MS / 1000} s`)
    await delay(LOOK_MS)
  }
}
