/**
 * How well many workers are kept at work: `npm run bench -- scheduling [--runs N] [--workers 10,50,100,200] [--blocks 2000]`. Blocks of 200 ms ± 100 %, drawn
 * from their content, that use no CPU; production coordinator, leases over TCP, task servers. Efficiency is the ideal makespan (all durations over all slots,
 * but no less than the longest block) over the measured one. Nobody who does not know durations beforehand reaches 1: beside it stands what greedy
 * list scheduling (Graham 1966) without any cost would need for the same blocks in the same order.
 */
import { hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sleepMs } from '../daemon/block-convert/probe/converters.ts'
import type { JobEvent } from '../daemon/coordinator/index.ts'
import { prng } from '../test/fixtures/csv.ts'
import { figure, median, type BenchOptions, type Figure } from './figure.ts'
import { makespanOf } from './recovery-job.ts'
import { startRequester, SLEEP } from './scheduling-requester.ts'
import { startWorkers, type Ran } from './scheduling-workers.ts'

/** Each size and each run is a whole job of seconds; three tell the spread. */
export const RUNS = 3

const BLOCK_BYTES = 64
const MS = 200
const JITTER = 1
const SEED = 17

interface Measured {
  /** Milliseconds from the first order to the last result, with leases that are open already. */
  makespanMs: number
  /** The first job between these peers, from its submission to its end: connections, TLS, leases and the output's rename in it. */
  coldMs: number
  idealMs: number
  greedyMs: number
  /** Shares of all slots' time until the last result: before a slot's first block, between its blocks, after its last, and blocks that took longer than declared. */
  idle: { start: number, between: number, tail: number, late: number }
}

export async function run ({ runs, args, log, report }: BenchOptions): Promise<Record<string, Figure>> {
  const { values } = parseArgs({ args, options: { workers: { type: 'string', default: '10,50,100,200' }, blocks: { type: 'string', default: '2000' } } })
  const [sizes, blocks] = [values.workers.split(',').map(Number), Number(values.blocks)]
  if ([...sizes, blocks].some(value => !Number.isSafeInteger(value) || value < 1)) throw new Error('--workers takes whole numbers, --blocks one')
  const figures: Record<string, Figure> = {}
  const rows: string[] = []
  for (const size of sizes) {
    const taken: Measured[] = []
    for (let i = 0; i < runs; i++) {
      const one = await measure(size, blocks, SEED + i)
      taken.push(one)
      log(`${size} workers, run ${i + 1} (seed ${SEED + i}): ${one.makespanMs.toFixed(0)} ms, ideal ${one.idealMs.toFixed(0)}, greedy without cost ${one.greedyMs.toFixed(0)}; first job ${one.coldMs.toFixed(0)} ms; idle ${percents(one.idle)}`)
    }
    const of = (value: (one: Measured) => number): number[] => taken.map(value)
    figures[`efficiency_${size}`] = figure(of(({ idealMs, makespanMs }) => idealMs / makespanMs), '', of(({ idealMs, greedyMs }) => idealMs / greedyMs))
    figures[`efficiency_first_job_${size}`] = figure(of(({ idealMs, coldMs }) => idealMs / coldMs), '')
    figures[`of_greedy_${size}`] = figure(of(({ greedyMs, makespanMs }) => greedyMs / makespanMs), '')
    const told = (key: string): string => figures[key]?.value.toFixed(3) ?? ''
    const ms = (value: (one: Measured) => number): string => median(of(value)).toFixed(0)
    const shares = (['start', 'between', 'tail', 'late'] as const).map(key => `${(100 * median(of(({ idle }) => idle[key]))).toFixed(1)} %`)
    rows.push(`| ${[size, ms(one => one.idealMs), ms(one => one.greedyMs), ms(one => one.makespanMs), told(`efficiency_${size}`), told(`of_greedy_${size}`), told(`efficiency_first_job_${size}`), ...shares].join(' | ')} |`)
  }
  report(['| workers | ideal ms | greedy without cost ms | measured ms | of ideal | of greedy | of ideal, first job | idle: start | between blocks | tail | blocks late |', '|---|---|---|---|---|---|---|---|---|---|---|', ...rows].join('\n'))
  return figures
}

async function measure (size: number, blocks: number, seed: number): Promise<Measured> {
  await using stack = new AsyncDisposableStack()
  const workers = await startWorkers(size)
  stack.defer(workers.stop)
  const requester = await startRequester(workers.addresses)
  stack.defer(requester.stop)
  const random = prng(seed)
  const bytes = Uint8Array.from({ length: blocks * BLOCK_BYTES }, () => Math.floor(random() * 256))
  const input = join(requester.folder, 'in.bin')
  await writeFile(input, bytes)
  const job = async (output: string): Promise<{ events: JobEvent[], ms: number }> => {
    const events: JobEvent[] = []
    const note = ({ detail }: CustomEvent<JobEvent>): void => { events.push(detail) }
    requester.coordinator.events.addEventListener('job', note)
    const from = performance.now()
    const { done } = await requester.coordinator.submit({
      inputs: [input], ...SLEEP, output: join(requester.folder, output), place: 'remote', blockBytes: BLOCK_BYTES, settings: { milliseconds: String(MS), jitter: String(JITTER) }
    })
    const { state, error } = await done
    requester.coordinator.events.removeEventListener('job', note)
    if (state !== 'done') throw new Error(`the job ended ${state}: ${error?.message}`)
    return { events, ms: performance.now() - from }
  }
  const { ms: coldMs } = await job('cold.sleep')
  await workers.ran()
  const { events } = await job('warm.sleep')
  const durations = Array.from({ length: blocks }, (_, i) => sleepMs(MS, JITTER, hash('sha256', bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES), 'buffer')))
  return {
    makespanMs: makespanOf(events),
    coldMs,
    idealMs: Math.max(durations.reduce((sum, ms) => sum + ms, 0) / size, ...durations),
    greedyMs: greedy(durations, size),
    idle: idleOf(await workers.ran(), size, events)
  }
}

/** Each block to whichever slot is free first. */
export function greedy (durations: number[], slots: number): number {
  const free = new Float64Array(slots)
  for (const ms of durations) {
    let first = 0
    for (let i = 1; i < slots; i++) if ((free[i] as number) < (free[first] as number)) first = i
    free[first] = (free[first] as number) + ms
  }
  return Math.max(...free)
}

function idleOf (ran: Ran[], slots: number, events: JobEvent[]): Measured['idle'] {
  const orders = events.filter(event => event.type === 'block')
  const begin = Math.min(...orders.map(({ at }) => at))
  const end = Math.max(...orders.map(({ at }) => at))
  const whole = (end - begin) * slots
  const idle = { start: (slots - new Set(ran.map(({ worker }) => worker)).size) * (end - begin), between: 0, tail: 0, late: 0 }
  for (const own of Map.groupBy(ran, ({ worker }) => worker).values()) {
    own.sort((a, b) => a.from - b.from)
    idle.start += (own[0] as Ran).from - begin
    idle.tail += end - (own.at(-1) as Ran).to
    for (const [i, { from, to, declaredMs }] of own.entries()) {
      idle.late += Math.max(0, to - from - declaredMs)
      if (i > 0) idle.between += from - (own[i - 1] as Ran).to
    }
  }
  return { start: idle.start / whole, between: idle.between / whole, tail: idle.tail / whole, late: idle.late / whole }
}

const percents = (idle: Measured['idle']): string => Object.entries(idle).map(([what, share]) => `${what} ${(100 * share).toFixed(1)} %`).join(', ')
