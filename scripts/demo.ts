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
import { formatBytes, formatSeconds } from '../cli/lib/units.ts'
import { killNode, leaveRunning, takeDown, up } from '../cli/testnet/network.ts'
import type { TestNode } from '../cli/testnet/state.ts'
import type { JobReport } from '../daemon/coordinator/index.ts'
import { compareTables } from './compare.ts'
import { Blocks } from './demo/blocks.ts'
import { command, dim, fact, finding, list, row, step, title } from './demo/page.ts'

const root = join(import.meta.dirname, '..')
const input = join(root, 'node_modules', 'vega-datasets', 'data', 'zipcodes.csv')

const NODES = 5
/** Small on purpose: the file has 2 MB, and the demo wants enough blocks to lose some of them. */
const BLOCK_SIZE = '50kB'
/** The kill comes when this share of the blocks is done. */
const KILL_AT = 0.25
const BLOCKS_MIN = 12
const WORKERS_MIN = 3

interface Loss { victim: TestNode, held: number[], at: number }

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
  const { nodes } = await up({ dir, nodes: NODES, tell: () => {}, signal: interrupt.signal })
  for (const node of nodes) fact(`${node.name}  ${dim(`process ${String(node.pid).padEnd(7)} ${node.peerId}`)}`)
  fact(`Each has its own key, data and port, and sees the other ${NODES - 1}.`)

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
  const moved = loss == null ? [] : blocks.moved(loss.held, loss.victim.peerId)
  const nameOf = (peer: string): string => nodes.find(node => node.peerId === peer)?.name ?? peer
  for (const { block, from, to } of moved) fact(`block ${String(block).padStart(2)} went from ${nameOf(from)} to ${nameOf(to)}`)

  step('Comparing the output with the input, row by row')
  command(`node scripts/compare.ts ${relative(root, input)} ${basename(output)}`)
  const { rows, difference } = await compareTables(input, output)
  fact(dim('Read by hyparquet and a plain CSV parser, not by the engine that wrote it.'))

  step('What was promised')
  const workers = new Set(nodes.map(({ peerId }) => peerId).filter(peer => blocks.doneBy(peer).length > 0)).size
  const findings = [
    finding(total >= BLOCKS_MIN, `${total} blocks (at least ${BLOCKS_MIN})`),
    finding(workers >= WORKERS_MIN && report.blocks.local === 0, `results of ${workers} workers (at least ${WORKERS_MIN}), none of them n0`),
    finding(loss != null && loss.held.length > 0, loss == null ? 'no worker was killed: the job was over too soon' : `${loss.victim.name} was killed while it held ${loss.held.length} unfinished blocks`),
    finding(loss != null && moved.length === loss.held.length, `${moved.length} of them were done by others`),
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
      blocks.apply(event); if (process.env.DBG) console.error(Date.now() % 100000, (event.at as number) % 100000, JSON.stringify(event).slice(0, 200))
      const victim = loss == null && blocks.done >= Math.max(1, (blocks.total ?? Number.POSITIVE_INFINITY) * KILL_AT) ? busiest(nodes.slice(1), blocks) : undefined
      if (victim != null) loss = kill(victim, blocks)
    }
  })()
  const report = await runWeft(['convert', input, '--to', 'parquet', '-o', output, '--remote', '--block-size', BLOCK_SIZE, '--json'], first.dataDir)
  const lost = await loss
  // Events of the last blocks may still be on their way.
  const deadline = performance.now() + 2000
  while (blocks.done < report.blocks.total && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 10))
  over.abort()
  await watching
  fact(`${formatBytes(report.outputs[0]?.bytes ?? 0)} of Parquet after ${formatSeconds(report.seconds)}; ${report.check.blocksChecked} of ${report.blocks.total} blocks compared with their source on the way`)
  return { report, blocks, loss: lost }
}

/** The worker with the most unfinished blocks, if it holds more than one: a single one could be finished before the signal comes. */
function busiest (workers: TestNode[], blocks: Blocks): TestNode | undefined {
  const [most] = workers.map(node => ({ node, held: blocks.heldBy(node.peerId).length })).toSorted((a, b) => b.held - a.held)
  return most != null && most.held > 1 ? most.node : undefined
}

async function kill (victim: TestNode, blocks: Blocks): Promise<Loss> {
  const at = blocks.done
  await killNode(dir, victim.name)
  // What it sent before it died was still read; what it holds now is lost.
  const held = blocks.heldBy(victim.peerId)
  fact(`after ${at} blocks: SIGKILL for ${victim.name} (process ${victim.pid}), which holds block${held.length === 1 ? '' : 's'} ${list(held)}`)
  return { victim, held, at }
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
