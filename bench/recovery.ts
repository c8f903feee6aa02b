/**
 * What a fault costs a job: `npm run bench -- recovery [--runs N] [--only sigkill,freeze,blackhole,slow,requester] [--false-deaths MINUTES] [--seed S]
 * [--no-peer]`. Real daemons, blocks of a declared duration that use no CPU, one fault at a random instant; Dask beside it in the same run
 * where it is installed. `--runs` counts SIGKILLs and kills of the requester; the others get half as many.
 */
import { parseArgs } from 'node:util'
import { daskPairs, type DaskPair } from './recovery-dask.ts'
import { falseDeaths } from './recovery-false-deaths.ts'
import { localNetwork, type FaultName } from './recovery-faults.ts'
import { blackHoles } from './recovery-netns.ts'
import { resumes } from './recovery-requester.ts'
import { LOADS, pairs, type Load, type Pair } from './recovery-run.ts'
import { slowPairs } from './recovery-slow.ts'
import { figure, median, type BenchOptions, type Figure } from './figure.ts'
import { quantile } from './nodes.ts'

/** Runs where nobody says: enough kills for a 95th percentile, and the largest for the 99th. */
export const RUNS = 20

const PARTS = ['sigkill', 'freeze', 'blackhole', 'slow', 'requester'] as const
type Part = typeof PARTS[number]

const SEED = 20261121

type Figures = Record<string, Figure>
type Taken = Record<Load, Pair[]>
type Peer = Record<Load, DaskPair[] | string>

export async function run ({ runs, args, log, report }: BenchOptions): Promise<Figures> {
  const { values } = parseArgs({ args, options: { only: { type: 'string' }, 'false-deaths': { type: 'string' }, seed: { type: 'string' }, 'no-peer': { type: 'boolean' } } })
  // Minutes of false deaths alone are asked for without the rest.
  const only = values.only?.split(',') ?? (values['false-deaths'] == null ? PARTS : [])
  const seed = Number(values.seed ?? SEED)
  const minutes = Number(values['false-deaths'] ?? 0)
  if (only.some(part => !PARTS.includes(part as Part)) || !Number.isSafeInteger(seed) || !(minutes >= 0)) throw new Error(`--only takes ${PARTS.join(', ')}; --seed a whole number, --false-deaths minutes`)
  const few = Math.max(1, Math.ceil(runs / 2))
  const rows: string[][] = []
  const all: Pair[] = []
  let figures: Figures = {}
  const take = (name: FaultName, taken: Taken, peer: Peer): void => {
    all.push(...taken.idle, ...taken.busy)
    figures = { ...figures, ...figuresOf(name, taken, peer) }
    rows.push(...rowsOf(name, taken, peer))
  }
  for (const fault of ['sigkill', 'freeze'] as const) {
    if (!only.includes(fault)) continue
    const count = fault === 'sigkill' ? runs : few
    const taken = await local(fault, count, seed, log)
    const peer = async (load: Load): Promise<DaskPair[] | string> => values['no-peer'] === true ? 'not asked for' : await daskPairs({ fault, load, runs: fault === 'sigkill' ? few : Math.min(few, 3), seed, log })
    take(fault, taken, { idle: await peer('idle'), busy: await peer('busy') })
  }
  if (only.includes('blackhole')) {
    let taken = await blackHoles(few, seed, log)
    if (typeof taken === 'string') {
      log(`no real packet loss: ${taken}; the daemons' own sockets swallow everything instead`)
      taken = await local('blackhole', few, seed, log)
    }
    take('blackhole', taken, { idle: 'not given to it', busy: 'not given to it' })
  }
  if (all.length > 0) Object.assign(figures, sharesOf(all))
  if (only.includes('slow')) figures['slow_makespan_ratio'] = figure((await slowPairs({ runs: few, seed, log })).map(({ withMs, withoutMs }) => withMs / withoutMs), '')
  if (only.includes('requester')) Object.assign(figures, await requester(runs, seed, log))
  if (minutes > 0) {
    const found = await falseDeaths({ minutes, seed, log })
    figures['false_deaths'] = figure([found.deaths], '')
    figures['false_doubts'] = figure([found.doubts], '')
    report(`False deaths: ${found.minutes} minutes, ${found.jobs} jobs of ${found.blocks} blocks, ${found.redone} orders more than blocks, ${found.stalls} stalls of one main loop.\n${found.reasons.map(line => `- ${line}`).join('\n')}`)
  }
  if (rows.length > 0) report(table(['fault', 'network', 'runs', 'doubted ms', 'dead ms', 'elsewhere: ordered ms', 'running ms', 'makespan', 'blocks redone', 'Dask: found out ms', 'running ms', 'makespan'], rows))
  return figures
}

async function local (fault: FaultName, runs: number, seed: number, log: BenchOptions['log']): Promise<Taken> {
  const network = await localNetwork(seed)
  try {
    return { idle: await pairs(network, { fault, load: 'idle', runs, seed, log }), busy: await pairs(network, { fault, load: 'busy', runs, seed, log }) }
  } finally {
    await network.down()
  }
}

const present = (values: Array<number | undefined>): number[] => values.filter(value => value != null)

function figuresOf (name: FaultName, { idle, busy }: Taken, peer: Peer): Figures {
  const found: Figures = {}
  const put = (key: string, values: number[], peers?: number[], part = 0.5): void => {
    if (values.length === 0) return
    found[key] = { ...figure(values, 'ms', peers == null || peers.length === 0 ? undefined : peers), value: Number((part === 0.5 ? median(values) : quantile(values, part)).toPrecision(4)) }
  }
  const running = (taken: Pair[]): number[] => taken.flatMap(({ story }) => story.runningMs)
  const theirs = (load: Load): number[] | undefined => typeof peer[load] === 'string' ? undefined : peer[load].flatMap(({ runningMs }) => runningMs)
  const both = [...idle, ...busy]
  if (name === 'sigkill') {
    put('sigkill_ms_p50', running(idle), theirs('idle'))
    put('sigkill_ms_p99', running(idle), undefined, 0.99)
    put('sigkill_detected_ms_p50', present(both.map(({ story }) => story.lostMs)))
    put('sigkill_sockets_closed_ms_p50', present(both.map(({ closedMs }) => closedMs)))
    put('sigkill_busy_ms_p50', running(busy), theirs('busy'))
  } else {
    put(`${name}_hedge_ms_p50`, running(idle), theirs('idle'))
    put(`${name}_hedge_ms_p99`, running(idle), undefined, 0.99)
    put(`${name}_suspect_ms_p50`, present(both.map(({ story }) => story.suspectMs)))
    put(`${name}_dead_ms_p50`, present(both.map(({ story }) => story.lostMs)))
    put(`${name}_busy_ms_p50`, running(busy), theirs('busy'))
  }
  put(`${name}_added_ms_p50`, busy.map(({ calmMs, struckMs }) => struckMs - calmMs), typeof peer.busy === 'string' ? undefined : peer.busy.map(({ calmMs, struckMs }) => struckMs - calmMs))
  return found
}

/** Over all faults: orders beyond one per block, by blocks; and how many more than the struck workers held. */
function sharesOf (all: Pair[]): Figures {
  return {
    redone_share: figure(all.map(({ story }) => story.redone / story.blocks), ''),
    redone_beyond_held: figure(all.map(({ story }) => Math.max(0, story.redone - story.held)), 'blocks'),
    others_given_up: figure([all.reduce((sum, { story }) => sum + story.falseDeaths, 0)], ''),
    others_doubted: figure([all.reduce((sum, { story }) => sum + story.falseDoubts, 0)], '')
  }
}

async function requester (runs: number, seed: number, log: BenchOptions['log']): Promise<Figures> {
  const all = await resumes({ runs, seed, log })
  const running = present(all.map(({ runningMs }) => runningMs))
  return {
    ...(running.length === 0 ? {} : { requester_resume_ms_p50: figure(running, 'ms'), requester_resume_ms_max: figure([Math.max(...running)], 'ms') }),
    requester_not_resumed: figure([all.filter(({ problem, runningMs }) => problem != null || runningMs == null).length], ''),
    requester_done_twice: figure([all.reduce((sum, { doneTwice }) => sum + doneTwice, 0)], 'blocks'),
    requester_redone_of_out: figure(all.map(({ redone, inFlight }) => inFlight === 0 ? 0 : redone / inFlight), '')
  }
}

const NETWORK: Record<Load, string> = { idle: `${LOADS.idle.blocks} blocks, engines free`, busy: `${LOADS.busy.blocks} blocks, all engines busy` }

const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(0)}`
/** The same of what a fault adds. */
const added = (values: number[]): string => values.length === 0 ? 'never' : `${signed(median(values))} (${signed(Math.max(...values))})`

/** p50 (most) of what there is. */
const spread = (values: number[]): string => values.length === 0 ? 'never' : `${median(values).toFixed(0)} (${Math.max(...values).toFixed(0)})`

function rowsOf (name: FaultName, taken: Taken, peer: Peer): string[][] {
  return (['idle', 'busy'] as const).map(load => {
    const pairs = taken[load]
    const stories = pairs.map(({ story }) => story)
    const dask = peer[load]
    return [
      name, NETWORK[load], String(pairs.length), spread(present(stories.map(({ suspectMs }) => suspectMs))), spread(present(stories.map(({ lostMs }) => lostMs))),
      spread(stories.flatMap(({ orderedMs }) => orderedMs)), spread(stories.flatMap(({ runningMs }) => runningMs)),
      added(pairs.map(({ calmMs, struckMs }) => struckMs - calmMs)), `${stories.reduce((sum, { redone }) => sum + redone, 0)} of ${stories.reduce((sum, { blocks }) => sum + blocks, 0)}`,
      ...(typeof dask === 'string'
        ? [dask, '', '']
        : [spread(present(dask.map(({ detectedMs }) => detectedMs ?? undefined))), spread(dask.flatMap(({ runningMs }) => runningMs)), added(dask.map(({ calmMs, struckMs }) => struckMs - calmMs))])
    ]
  })
}

function table (head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`
  return [`Median (most), milliseconds.\n`, line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
