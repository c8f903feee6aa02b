import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { NodePage, NodeView } from '../daemon/gateway/index.ts'
import { amountText } from '../daemon/gateway/view/money.ts'
import { connect } from './lib/client.ts'
import { Failure } from './lib/failure.ts'
import { fittedTable, type Column } from './lib/fitted-table.ts'
import { print, printJson, tell } from './lib/terminal.ts'
import { count, formatAge, formatBytes, formatRtt, shortPeer } from './lib/units.ts'

interface Options {
  from?: string, to?: string, converter?: string, resourceType?: string, maxPrice?: string, unit?: string, latencyBand?: string, minMemoryGb?: string, gpuHours?: string, sort?: string
  limit?: string, cursor?: string, long?: boolean, json?: boolean
}

export function configure (command: Command): void {
  command
    .option('--from <type>', 'only nodes that convert from this type (media type or extension)')
    .option('--to <type>', 'only nodes that convert to this type')
    .option('--converter <id>', 'only nodes with this converter')
    .option('--resource-type <type>', 'only nodes that offer this: CPU')
    .option('--max-price <amount>', 'only nodes that ask at most this per resource hour: 250000 (in 10^-6), or 0.25')
    .option('--unit <unit>', 'what --max-price is counted in (default: the unit of this node)')
    .option('--latency-band <band>', 'only nodes this near or nearer: lan (3 ms), metro (10), regional (30), global (100), far')
    .option('--min-memory-gb <gb>', 'only nodes with so much memory')
    .option('--gpu-hours <hours>', 'only nodes with GPUs; there are none yet')
    .option('--sort <by>', 'peer, price, speed, latency or age: the best first, or name_asc, name_desc')
    .option('--limit <number>', 'at most so many')
    .option('--cursor <cursor>', 'continue a list that was longer than its limit')
    .option('--long', 'whole peer ids')
    .option('--json', 'print JSON')
    .addHelpText('after', `
PEER is the end of the peer id; --long shows all of it. BUSY counts slots. ADVERT
and PRICED: how long ago the node, and its price, were heard of, and how.

Examples:
  weft nodes --to parquet --sort speed
  weft nodes --max-price 0.25 --latency-band metro --sort price`)
    .action(run)
}

async function run ({ json = false, long = false, ...options }: Options): Promise<void> {
  const client = await connect(resolvePaths().dataDir)
  const page = await client.nodes(queryOf(options)).catch((error: unknown) => { throw asOption(error) })
  if (json) return printJson(page)
  const wanted = options.from != null || options.to != null || options.converter != null
  if (page.nodes.length === 0) tell(`no node matches, of ${count(page.view.known, 'node')} known`)
  else print(nodeTable(page.nodes, { long, wanted }))
  if (page.cursor != null) tell(moreText(page))
}

/** Options as the query names them. */
function queryOf (options: Omit<Options, 'json' | 'long'>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), value]))
}

/** A refusal of the daemon names a field of its query; here that is an option. */
function asOption (error: unknown): unknown {
  if (!(error instanceof Failure) || error.details.in !== 'querystring' || typeof error.details.field !== 'string') return error
  const option = `--${error.details.field.replaceAll('_', '-')}`
  return new Failure(error.code, error.message.replace(/^querystring '[^']*'/, option), { ...error.details, option }, { cause: error })
}

const moreText = ({ nodes, total, cursor }: NodePage): string => `${nodes.length} of ${total} shown; the next: --cursor ${cursor ?? ''}`

export interface TableOptions {
  /** Whole peer ids. */
  long?: boolean
  /** Conversions were asked for: their speed rather than the number of all. */
  wanted?: boolean
  /** Characters. @default that of the terminal */
  width?: number
}

export function nodeTable (nodes: NodeView[], { long = false, wanted = false, width }: TableOptions = {}): string {
  const columns: Array<Column<NodeView>> = [
    { title: 'PEER', cell: ({ peer }) => long ? peer : shortPeer(peer), whole: true },
    { title: 'STATE', cell: stateOf },
    { title: 'LATENCY', cell: ({ rttMs, self }) => self ? '-' : formatRtt(rttMs), right: true },
    { title: 'BUSY', cell: busyOf, right: true },
    { title: 'MEMORY', cell: ({ resources }) => resources.memoryBytes === 0 ? '-' : formatBytes(resources.memoryBytes), right: true, spare: 3 },
    { title: 'PRICE/H', cell: ({ price, unit }) => amountText(price, unit), right: true },
    wanted
      ? { title: 'SPEED', cell: ({ speed = 0 }) => speed === 0 ? '-' : `${formatBytes(speed)}/s`, right: true }
      : { title: 'CONVERTS', cell: ({ converters }) => String(converters.length), right: true, spare: 2 },
    { title: 'ADVERT', cell: ({ self, ageMs, source }) => self ? '-' : `${formatAge(ageMs)} ${source}` },
    { title: 'PRICED', cell: ({ self, facts: { price } }) => self ? '-' : `${formatAge(price.ageMs)} ${price.source}`, spare: 1 }
  ]
  return fittedTable(columns, nodes, width)
}

function stateOf ({ self, draining, policy, connected }: NodeView): string {
  if (draining) return 'draining'
  if (self) return 'this node'
  return !policy.open ? 'closed' : connected ? 'connected' : 'known'
}

/** Slots at work of all; how many are at work is told by gossip only. */
function busyOf ({ resources: { slots }, facts: { load } }: NodeView): string {
  if (load != null) return `${load.busy}/${load.slots}`
  return slots === 0 ? '-' : `?/${slots}`
}
