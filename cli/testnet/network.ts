/** A test network as a whole: up, down, and its nodes one by one. */
import { randomBytes, createHash } from 'node:crypto'
import { mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TEST_NETWORK_PREFIX } from '../../daemon/config/constants.ts'
import { Failure } from '../lib/failure.ts'
import { gone, signalGroup, startTimeOf } from '../lib/process.ts'
import { DOWN_DRAIN_MS, DOWN_KILL_MS, KILLED_MS, SEEN_LOOK_MS, SEEN_MS_PER_NODE, STOP_NODE_MS } from './constants.ts'
import { crashes } from './crash-loop.ts'
import { knownTo, startDaemon, writeConfig, type Running } from './daemon.ts'
import { cut } from './links.ts'
import { configOf, type NodeProfile } from './profile.ts'
import { lives, nodeOf, readState, removeState, requireState, updateNode, writeState, type TestNode, type TestnetState } from './state.ts'

export interface UpOptions {
  /** Absolute path. */
  dir: string
  nodes: number
  seed?: string
  profiles?: NodeProfile[]
  /** Told what is being done. */
  tell: (text: string) => void
  signal: AbortSignal
}

/** Starts every daemon and waits until each sees all others. What was started is ended again if that fails. */
export async function up ({ dir, nodes: count, seed = randomBytes(4).toString('hex'), profiles = [], tell, signal }: UpOptions): Promise<TestnetState> {
  await mkdir(dir, { recursive: true })
  await clean(dir, tell)
  const state: TestnetState = { network: networkOf(seed), seed, nodes: [], supervisor: { pid: process.pid, started: startTimeOf(process.pid) ?? '' } }
  const processes: Array<{ pid: number, started: string }> = []
  const start = async (index: number, bootstrap: string[]): Promise<TestNode> => {
    const name = `n${index}`
    const place = { name, dataDir: join(dir, name), log: join(dir, `${name}.log`), cache: join(dir, 'cache') }
    await writeConfig(place.dataDir, configFor(state, name, profiles[index] ?? {}, bootstrap))
    const running = await startDaemon(place, process => { processes.push(process) })
    signal.throwIfAborted()
    return { ...entry(place, running), ...(crashes(profiles[index]?.faults ?? []) ? { crashes: true } : {}) }
  }
  try {
    tell(`starting ${count} daemons`)
    // The others join through the first one, whose port is known only once it listens.
    const first = await start(0, [])
    const others = await Promise.all(Array.from({ length: count - 1 }, async (_, index) => await start(index + 1, first.multiaddrs)))
    state.nodes = [first, ...others]
    tell('waiting until each sees the others')
    await allSeen(state.nodes.filter(node => node.crashes !== true), signal)
    for (const [index, node] of state.nodes.entries()) await pin(node, configFor(state, node.name, profiles[index] ?? {}, []), state.nodes)
    await writeState(dir, state)
    return state
  } catch (error) {
    await end(processes)
    throw signal.aborted ? new Failure('cancelled', 'interrupted; every daemon was ended') : error
  }
}

/** Ends every daemon. The command in the foreground does it if it is there. */
export async function down (dir: string): Promise<void> {
  const state = await requireState(dir)
  const { supervisor } = state
  if (supervisor != null && supervisor.pid !== process.pid && lives(supervisor)) {
    process.kill(supervisor.pid, 'SIGTERM')
    if (await gone(supervisor.pid, supervisor.started, STOP_NODE_MS)) return
  }
  await takeDown(dir)
}

/** What the state file names when it comes to the end: nodes may have been started again meanwhile. */
export async function takeDown (dir: string): Promise<void> {
  const state = await readState(dir)
  if (state == null) return
  await end(state.nodes)
  // One that a command started and could not enter any more.
  for (const { dataDir } of state.nodes) await endUnrecorded(dataDir, () => {})
  await removeState(dir)
}

/** Leaves the network running when this process ends; `down` ends it. */
export async function leaveRunning (dir: string): Promise<void> {
  const { supervisor: _, ...state } = await requireState(dir)
  await writeState(dir, state)
}

/** SIGKILL for the daemon and its engines: it can do nothing about it. */
export async function killNode (dir: string, name: string): Promise<TestNode> {
  const node = await living(dir, name)
  signalGroup(node.pid, node.started, 'SIGKILL')
  if (!await gone(node.pid, node.started, KILLED_MS)) throw new Failure('failed', `${name} (process ${node.pid}) was killed and is still there`)
  return nodeOf(await updateNode(dir, name, { state: 'killed' }), name)
}

export async function stopNode (dir: string, name: string): Promise<TestNode> {
  const node = await living(dir, name)
  if (node.state === 'paused') signalGroup(node.pid, node.started, 'SIGCONT')
  process.kill(node.pid, 'SIGTERM')
  if (!await gone(node.pid, node.started, STOP_NODE_MS)) throw new Failure('failed', `${name} (process ${node.pid}) still runs after ${STOP_NODE_MS / 1000} s: kill it with 'weft testnet kill ${name} --dir ${dir}'`)
  return nodeOf(await updateNode(dir, name, { state: 'stopped' }), name)
}

/** The same key and data, the same addresses; ready once every running node that can reach it is connected to it again. */
export async function startNode (dir: string, name: string): Promise<TestNode> {
  const node = nodeOf(await requireState(dir), name)
  if (lives(node)) throw new Failure('failed', `${name} runs already (process ${node.pid})${node.state === 'paused' ? `; it is paused: 'weft testnet unpause ${name} --dir ${dir}'` : ''}`)
  const running = await startDaemon({ name, dataDir: node.dataDir, log: node.log, cache: join(dir, 'cache') }, () => {})
  const state = await updateNode(dir, name, { ...entry(node, running) }).catch(async (error: unknown) => {
    // Nobody would know of it, and so nobody would end it.
    await end([running])
    throw error
  })
  const deadline = performance.now() + SEEN_MS_PER_NODE
  const others = state.nodes.filter(other => other.name !== name && other.state === 'running' && lives(other) && !cut(state, name, other.name))
  for (const other of others) {
    while (!(await knownTo(other)).connected.has(node.peerId)) {
      if (performance.now() > deadline) throw new Failure('failed', `${name} runs, but ${other.name} is not connected to it after ${SEEN_MS_PER_NODE / 1000} s: see ${node.log}`)
      await delay(SEEN_LOOK_MS)
    }
  }
  return nodeOf(state, name)
}

/** SIGSTOP, SIGCONT: it neither runs nor goes away, like a machine behind a cable that was pulled. */
export async function pauseNode (dir: string, name: string, paused: boolean): Promise<TestNode> {
  const node = await living(dir, name)
  signalGroup(node.pid, node.started, paused ? 'SIGSTOP' : 'SIGCONT')
  return nodeOf(await updateNode(dir, name, { state: paused ? 'paused' : 'running' }), name)
}

async function living (dir: string, name: string): Promise<TestNode> {
  const node = nodeOf(await requireState(dir), name)
  if (!lives(node)) throw new Failure('failed', `${name} does not run (it was ${node.state}): start it with 'weft testnet start ${name} --dir ${dir}'`)
  return node
}

const networkOf = (seed: string): string =>
  `${TEST_NETWORK_PREFIX}${/^[a-z0-9.-]{1,40}$/.test(seed) ? seed : createHash('sha256').update(seed).digest('hex').slice(0, 16)}`

function configFor ({ network, seed }: TestnetState, name: string, profile: NodeProfile, bootstrap: string[]): Record<string, unknown> {
  const { faults, ...special } = configOf(profile)
  return { network, trust: { everyone: true }, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap, ...special, test: { seed: `weft-testnet/${seed}/${name}`, faults } }
}

/** A node that is started again takes the same ports, and finds the others whichever of them run. */
async function pin (node: TestNode, config: Record<string, unknown>, all: TestNode[]): Promise<void> {
  await writeConfig(node.dataDir, {
    ...config,
    listen: node.multiaddrs.map(address => address.replace(/\/p2p\/.*$/, '')),
    bootstrap: all.filter(other => other !== node).flatMap(other => other.multiaddrs),
    api: { port: Number(new URL(node.api).port) }
  })
}

function entry ({ name, dataDir, log }: { name: string, dataDir: string, log: string }, { pid, started, status }: Running): TestNode {
  return { name, peerId: status.peerId, multiaddrs: status.multiaddrs, api: status.api, tokenFile: join(dataDir, 'token'), pid, dataDir, log, state: 'running', started }
}

async function allSeen (nodes: TestNode[], signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + SEEN_MS_PER_NODE * nodes.length
  for (const node of nodes) {
    for (;;) {
      signal.throwIfAborted()
      const { known } = await knownTo(node)
      const missing = nodes.filter(other => !known.has(other.peerId))
      if (missing.length === 0) break
      if (!lives(node)) throw new Failure('failed', `${node.name} ended while the network came up: see ${node.log}`, { log: node.log })
      if (performance.now() > deadline) throw new Failure('failed', `${node.name} does not see ${missing.map(({ name }) => name).join(', ')}: see ${node.log}`, { log: node.log })
      await delay(SEEN_LOOK_MS)
    }
  }
}

/** What an earlier run left: refused if it still runs, ended and removed if its foreground is gone. */
async function clean (dir: string, tell: (text: string) => void): Promise<void> {
  const state = await readState(dir)
  if (state != null) {
    const { supervisor } = state
    if (supervisor == null ? state.nodes.some(lives) : lives(supervisor)) throw new Failure('testnet-runs', `a test network runs in ${dir} already${supervisor == null ? '' : ` (process ${supervisor.pid})`}: end it with 'weft testnet down --dir ${dir}', or use another folder`, { dir })
    const left = state.nodes.filter(lives)
    if (left.length > 0) tell(`ending ${left.length} daemons that an earlier run left`)
    await end(left)
    await removeState(dir)
  }
  for (const name of await readdir(dir)) {
    if (!/^n\d+$/.test(name)) continue
    await endUnrecorded(join(dir, name), tell)
    await rm(join(dir, name), { recursive: true })
    await rm(join(dir, `${name}.log`), { force: true })
  }
}

/** A run that died while it came up has no state file; its daemons' own folders tell. */
async function endUnrecorded (dataDir: string, tell: (text: string) => void): Promise<void> {
  const pid = Number(await readFile(join(dataDir, 'pid'), 'utf8').catch(() => ''))
  const started = startTimeOf(pid)
  if (started == null || !await isDaemonOf(pid, dataDir)) return
  tell(`ending a daemon that an earlier run left (process ${pid})`)
  await end([{ pid, started }])
}

/** Its environment names the folder; where that cannot be read, it is left alone. */
async function isDaemonOf (pid: number, dataDir: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
  return environment.split('\0').includes(`WEFT_HOME=${dataDir}`)
}

async function end (processes: Array<{ pid: number, started: string }>): Promise<void> {
  await Promise.all(processes.map(async ({ pid, started }) => {
    signalGroup(pid, started, 'SIGCONT')
    for (const [signal, wait] of [['SIGTERM', DOWN_DRAIN_MS], ['SIGTERM', DOWN_KILL_MS], ['SIGKILL', KILLED_MS]] as const) {
      if (startTimeOf(pid) !== started) return
      if (signal === 'SIGKILL') signalGroup(pid, started, signal)
      else process.kill(pid, signal)
      if (await gone(pid, started, wait)) return
    }
  }))
}
