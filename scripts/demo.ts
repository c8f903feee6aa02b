/**
 * The demo: five real daemons, a real data set, a worker killed in the middle, and a comparison of every row.
 *
 *   npm run demo [-- --keep]
 *
 * Exits 0 only if everything it promises to show was seen.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { findDaemon } from '../cli/lib/client.ts'
import { onInterrupt } from '../cli/lib/interrupt.ts'
import { count, formatBytes, formatSeconds } from '../cli/lib/units.ts'
import { killNode, leaveRunning, takeDown, up } from '../cli/testnet/network.ts'
import type { TestNode } from '../cli/testnet/state.ts'
import type { JobReport } from '../daemon/coordinator/index.ts'
import { compareTables } from './compare.ts'
import { Blocks } from './demo/blocks.ts'
import { command, dim, fact, finding, list, live, row, step, title } from './demo/page.ts'

const root = join(import.meta.dirname, '..')
const input = join(root, 'node_modules', 'vega-datasets', 'data', 'zipcodes.csv')

const NODES = 5
/** Small on purpose: the file has 2 MB, and the demo wants enough blocks to lose some of them. */
const BLOCK_SIZE = '50kB'
/** The kill comes when this share of the blocks is done. */
const KILL_AT = 0.25
/**
 * Of the speed of this machine: the daemons share its cores, and machines of their own would not. It also means that a
 * worker killed at any moment is in the middle of something.
 */
const WORKER_SPEED = 0.25
/** Blocks the victim owes at least: more than it works on at once. */
const OWED_MIN = 3
/** Milliseconds in which the last events arrive after the report. */
const LAST_EVENTS_MS = 5000
const BLOCKS_MIN = 12
const WORKERS_MIN = 3

interface Loss { victim: TestNode, owed: number[] }

const keep = process.argv.includes('--keep')
const begun = performance.now()
const dir = await mkdtemp(join(tmpdir(), 'weft-demo-'))
const interrupt = onInterrupt()
let kept = false
try {
  const held = await demo()
  process.exitCode = held ? 0 : 1
} catch (error) {
  console.error(`\nThe demo failed: ${(error as Error).message}`)
  process.exitCode = interrupt.signal.aborted ? 130 : 1
} finally {
  if (!kept) {
    await takeDown(dir)
    await rm(dir, { recursive: true, force: true })
  }
  interrupt.release()
}

async function demo (): Promise<boolean> {
  title('Weft: a conversion that survives the loss of a machine', 'Everything below is real: separate processes, libp2p between them, DuckDB inside them.')

  step(`Starting ${NODES} daemons on this machine`)
  const { nodes } = await up({ dir, nodes: NODES, profiles: Array.from({ length: NODES }, (_, index) => index === 0 ? {} : { speed: WORKER_SPEED }), tell: () => {}, signal: interrupt.signal })
  for (const node of nodes) fact(`${node.name}  ${dim(`process ${String(node.pid).padEnd(7)} ${node.peerId}`)}`)
  fact(`Each has its own key, data and port, and sees the other ${NODES - 1}. As they share one machine, n1 to n${NODES - 1} are slowed to a quarter of its speed.`)

  const output = join(dir, 'zipcodes.parquet')
  const { size } = await stat(input)
  step(`Converting ${basename(input)} (${formatBytes(size)} of vega-datasets) from n0, on the other nodes only`)
  command(`weft convert ${basename(input)} --to parquet --remote --block-size ${BLOCK_SIZE}`)
  const { report, blocks, loss } = await convert(nodes, output)
  if (report.state !== 'done') {
    finding(false, `the job is ${report.state}: ${report.error?.message ?? 'no reason given'}`)
    return false
  }

  step('Who converted what')
  const total = report.blocks.total
  for (const node of nodes.slice(1)) row(node.name, blocks.doneBy(node.peerId).length, total, node === loss?.victim ? 'killed' : '')
  const lost = loss == null ? [] : blocks.lostBy(loss.victim.peerId)
  const nameOf = (peer: string | undefined): string => nodes.find(node => node.peerId === peer)?.name ?? 'nobody'
  if (loss != null) {
    const kept = loss.owed.filter(block => blocks.doer(block) === loss.victim.peerId)
    if (kept.length > 0) fact(dim(`${loss.victim.name}'s results of block${kept.length === 1 ? '' : 's'} ${list(kept)} had arrived before it died and were used.`))
    for (const block of lost) fact(`block ${String(block).padStart(2)} was lost with ${loss.victim.name}, and done by ${nameOf(blocks.doer(block))}`)
  }

  step('Comparing the output with the input, row by row')
  command(`npm run compare -- ${relative(root, input)} ${basename(output)}`)
  const { rows, difference } = await compareTables(input, output)
  fact(dim('Read by the CSV and Parquet readers of Weft itself, not by the engine that wrote it.'))

  step('What was promised')
  const workers = new Set(nodes.map(({ peerId }) => peerId).filter(peer => blocks.doneBy(peer).length > 0)).size
  const findings = [
    finding(total >= BLOCKS_MIN, `${total} blocks (at least ${BLOCKS_MIN})`),
    finding(workers >= WORKERS_MIN && report.blocks.local === 0, `results of ${workers} workers (at least ${WORKERS_MIN}), none of them n0`),
    finding(loss != null && lost.length > 0, loss == null ? 'no worker was killed: the job was over too soon' : `${loss.victim.name} was killed and took ${count(lost.length, 'unfinished block')} with it`),
    finding(loss != null && lost.every(block => ![undefined, loss.victim.peerId].includes(blocks.doer(block))), 'others did every one of them'),
    finding(difference == null && rows > 0, difference == null ? `all ${rows.toLocaleString('en-US')} rows are equal, in order` : `the output differs: ${difference}`)
  ]
  const held = findings.every(Boolean)
  if (keep) await leave(nodes)
  else {
    await takeDown(dir)
    fact(dim(`All daemons have ended. The demo took ${formatSeconds((performance.now() - begun) / 1000)}.`))
  }
  return held
}

async function convert (nodes: TestNode[], output: string): Promise<{ report: JobReport, blocks: Blocks, loss: Loss | undefined }> {
  const [first] = nodes as [TestNode, ...TestNode[]]
  const client = await findDaemon(first.dataDir)
  if (client == null) throw new Error('n0 is gone')
  const blocks = new Blocks()
  const over = new AbortController()
  let loss: Promise<Loss> | undefined
  const watching = (async () => {
    for await (const event of client.events({ types: 'progress,block' }, over.signal)) {
      blocks.apply(event)
      live(`${blocks.done} of ${blocks.total ?? 'unknown'} blocks done`)
      const victim = loss == null && inTheMiddle(blocks) ? busiest(nodes.slice(1), blocks) : undefined
      if (victim != null) loss = kill(victim, blocks)
    }
  })()
  const report = await runWeft(['convert', input, '--to', 'parquet', '-o', output, '--remote', '--block-size', BLOCK_SIZE, '--json'], first.dataDir)
  const lost = await loss
  // Events of the last blocks may still be on their way.
  const deadline = performance.now() + LAST_EVENTS_MS
  while (blocks.done < report.blocks.total && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 10))
  over.abort()
  await watching
  fact(`${formatBytes(report.outputs[0]?.bytes ?? 0)} of Parquet after ${formatSeconds(report.seconds)}; ${report.check.blocksChecked} of ${report.blocks.total} blocks compared with their source on the way`)
  return { report, blocks, loss: lost }
}

/** The worker that owes most; undefined if none owes enough. */
function busiest (workers: TestNode[], blocks: Blocks): TestNode | undefined {
  const [most] = workers.map(node => ({ node, owed: blocks.heldBy(node.peerId).length })).toSorted((a, b) => b.owed - a.owed)
  return most != null && most.owed >= OWED_MIN ? most.node : undefined
}

function inTheMiddle (blocks: Blocks): boolean {
  return blocks.total != null && blocks.done >= blocks.total * KILL_AT
}

async function kill (victim: TestNode, blocks: Blocks): Promise<Loss> {
  const owed = blocks.heldBy(victim.peerId)
  const { done, total } = blocks
  await killNode(dir, victim.name)
  fact(`after ${done} of ${total ?? 0} blocks: SIGKILL for ${victim.name} (process ${victim.pid}), which owes blocks ${list(owed)}`)
  return { victim, owed }
}

async function runWeft (args: string[], dataDir: string): Promise<JobReport> {
  const child = spawn(process.execPath, [join(root, 'bin', 'weft'), ...args], { env: { ...process.env, WEFT_HOME: dataDir }, stdio: ['ignore', 'pipe', 'inherit'], signal: interrupt.signal })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => { chunks.push(chunk) })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const text = Buffer.concat(chunks).toString()
  if (code !== 0 && !text.includes('"state"')) throw new Error(`weft convert ended with exit code ${code ?? 'none'}`)
  return JSON.parse(text) as JobReport
}

async function leave (nodes: TestNode[]): Promise<void> {
  await leaveRunning(dir)
  kept = true
  fact(`The network is left running. Try:`)
  command(`WEFT_HOME=${nodes[0]?.dataDir ?? ''} bin/weft status`)
  command(`scripts/testnet status --dir ${dir}`)
  command(`scripts/testnet down --dir ${dir}`)
}
