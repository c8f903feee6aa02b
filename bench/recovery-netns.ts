/**
 * The same workers as machines of their own: network namespaces joined by a bridge, where a cable can be pulled out of the switch: no packet comes
 * through any more, in either direction, and nobody is told. Started as a program inside `unshare --net --mount` by `blackHoles`; prints its pairs as JSON.
 */
import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gone, signalGroup, startTimeOf } from '../cli/lib/process.ts'
import { run } from '../test/fixtures/testnet.ts'
import { connected, WORKERS, WORKER_SLOTS, type Network, type Victim } from './recovery-faults.ts'
import { pairs, type Load, type Pair } from './recovery-run.ts'

const root = join(import.meta.dirname, '..')
const weft = join(root, 'bin', 'weft')

/** Milliseconds for a daemon to be ready. */
const READY_MS = 60_000
const LOOK_MS = 50
/** Milliseconds for a daemon to drain when all is over, before it is killed. */
const END_MS = 5000

async function must (command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout
}

/** Node 0 lives in this process's own namespace, on the bridge itself; the others behind a cable each. */
export async function namespaceNetwork (seed: number): Promise<Network> {
  const dir = await mkdtemp(join(tmpdir(), 'weft-netns-'))
  const processes: Array<{ pid: number, started: string }> = []
  const down = async (): Promise<void> => {
    await Promise.all(processes.map(async ({ pid, started }) => {
      signalGroup(pid, started, 'SIGTERM')
      if (!await gone(pid, started, END_MS)) signalGroup(pid, started, 'SIGKILL')
    }))
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await must('mount', '-t', 'tmpfs', 'none', '/run')
    await must('ip', 'link', 'set', 'lo', 'up')
    await must('ip', 'link', 'add', 'weftbr', 'type', 'bridge')
    await must('ip', 'addr', 'add', '10.78.0.1/24', 'dev', 'weftbr')
    await must('ip', 'link', 'set', 'weftbr', 'up')
    const first = await startNode({ dir, seed, index: 0, bootstrap: [], processes })
    const workers: Victim[] = []
    for (let i = 1; i <= WORKERS; i++) {
      await must('ip', 'netns', 'add', `w${i}`)
      await must('ip', 'link', 'add', `cable${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `w${i}`)
      await must('ip', '-n', `w${i}`, 'link', 'set', 'lo', 'up')
      await must('ip', '-n', `w${i}`, 'addr', 'add', `10.78.0.${i + 1}/24`, 'dev', 'eth0')
      await must('ip', '-n', `w${i}`, 'link', 'set', 'eth0', 'up')
      await must('ip', 'link', 'set', `cable${i}`, 'master', 'weftbr', 'up')
      workers.push({ name: `w${i}`, peerId: (await startNode({ dir, seed, index: i, bootstrap: first.multiaddrs, processes })).peerId })
    }
    const requester = { api: first.api, tokenFile: join(dir, 'w0', 'token') }
    await connected(requester, workers.map(({ peerId }) => peerId))
    // One that is there already: starting a program takes many milliseconds on a busy machine, and the instant would be as uncertain.
    const ip = spawn('ip', ['-force', '-batch', '-'], { stdio: ['pipe', 'inherit', 'inherit'] })
    processes.push({ pid: ip.pid ?? 0, started: startTimeOf(ip.pid ?? 0) ?? '' })
    const cable = ({ name }: Victim, change: string): void => { ip.stdin.write(`link set cable${name.slice(1)} ${change}\n`) }
    return {
      dir,
      requester,
      workers,
      strike: async (_fault, victim) => {
        const at = Date.now()
        cable(victim, 'nomaster')
        return { at }
      },
      heal: async (_fault, victim) => {
        cable(victim, 'master weftbr')
        await connected(requester, [victim.peerId])
      },
      down
    }
  } catch (error) {
    await down()
    throw error
  }
}

interface Status { peerId: string, multiaddrs: string[], api: string }

async function startNode ({ dir, seed, index, bootstrap, processes }: { dir: string, seed: number, index: number, bootstrap: string[], processes: Array<{ pid: number, started: string }> }): Promise<Status> {
  const home = join(dir, `w${index}`)
  await mkdir(home, { recursive: true, mode: 0o700 })
  await writeFile(join(home, 'config.json'), JSON.stringify({
    network: `testnet-bench-${seed}`, trust: { everyone: true }, listen: [`/ip4/10.78.0.${index + 1}/tcp/4001`], bootstrap,
    executor: { slots: WORKER_SLOTS }, test: { seed: `bench/${seed}/${index}` }
  }), { mode: 0o600 })
  const inside = index === 0 ? [] : ['ip', 'netns', 'exec', `w${index}`]
  const at = (args: string[]): [string, string[]] => {
    const [command, ...rest] = [...inside, process.execPath, weft, ...args]
    return [command as string, rest]
  }
  const log = openSync(join(dir, `w${index}.log`), 'a')
  const env = { ...process.env, WEFT_HOME: home }
  const child = spawn(...at(['start']), { detached: true, stdio: ['ignore', log, log], env })
  const started = child.pid == null ? undefined : startTimeOf(child.pid)
  if (child.pid == null || started == null) throw new Error(`node ${index} cannot be started`)
  processes.push({ pid: child.pid, started })
  child.unref()
  const deadline = performance.now() + READY_MS
  for (;;) {
    const { code, stdout } = await run(...at(['status', '--json']), { env: { WEFT_HOME: home } })
    if (code === 0) return JSON.parse(stdout) as Status
    if (performance.now() > deadline || child.exitCode != null) throw new Error(`node ${index} did not start: ${await readFile(join(dir, `w${index}.log`), 'utf8')}`)
    await delay(LOOK_MS)
  }
}

export interface BlackHoles { idle: Pair[], busy: Pair[] }

/** Runs this file in a network namespace of its own; a text says why that cannot be done here. */
export async function blackHoles (runs: number, seed: number, log: (line: string) => void): Promise<BlackHoles | string> {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const probe = await run('unshare', [...user, '--net', '--mount', 'sh', '-c', 'mount -t tmpfs none /run && ip link add weftbr type bridge && ip netns add weft']).catch((error: Error) => ({ code: 1, stdout: '', stderr: error.message }))
  if (probe.code !== 0) return `this machine allows no network namespaces: ${probe.stderr.trim()}`
  const child = spawn('unshare', [...user, '--net', '--mount', process.execPath, import.meta.filename, String(runs), String(seed)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => { for (const line of chunk.toString().split('\n')) if (line !== '') log(line) })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`the run in network namespaces ended with ${code}`)
  return JSON.parse(Buffer.concat(out).toString()) as BlackHoles
}

if (import.meta.main) {
  const [runs, seed] = process.argv.slice(2).map(Number) as [number, number]
  const network = await namespaceNetwork(seed)
  try {
    const taken = async (load: Load): Promise<Pair[]> => await pairs(network, { fault: 'blackhole', load, runs, seed, log: line => { console.error(line) } })
    console.log(JSON.stringify({ idle: await taken('idle'), busy: await taken('busy') } satisfies BlackHoles))
  } finally {
    await network.down()
  }
  process.exit(0)
}
