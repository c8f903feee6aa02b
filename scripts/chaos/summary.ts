/** One page about a run of chaos. Pure. */
import type { Disturbed } from './disturb.ts'
import type { JobsDone } from './jobs.ts'
import { KINDS, nameOf, type Disturbance } from './plan.ts'
import { growthOf, SAMPLES_MIN, sparkline, type Sample } from './samples.ts'

export interface Outcome {
  seed: number
  nodes: number
  steady: string[]
  plan: Disturbance[]
  seconds: number
  jobs: JobsDone
  disturbed: Disturbed
  samples: Sample[]
  /** Whatever was wrong beside single jobs. */
  wrong: string[]
  /** Errors in the daemons' logs: told, and no verdict by themselves. */
  logged: string[]
}

/** Lines of one sort that are printed. */
const LINES_MAX = 20

const some = (lines: string[]): string[] => lines.length <= LINES_MAX ? lines : [...lines.slice(0, LINES_MAX), `... and ${lines.length - LINES_MAX} more`]

export function summary (outcome: Outcome, samplesFile: string): { text: string, good: boolean } {
  const { seed, nodes, steady, seconds, jobs, disturbed, samples, logged } = outcome
  const growth = growthOf(samples, seconds)
  const grown = growth.filter(({ flat }) => !flat)
  const total = [...jobs.seconds.values()].reduce((sum, { length }) => sum + length, 0)
  const wrong = [...jobs.wrong, ...outcome.wrong, ...disturbed.problems, ...grown.map(one => `${one.node} (process ${one.pid}): ${one.what} grew by ${one.grown.toFixed(0)} in ${(one.seconds / 60).toFixed(0)} minutes`)]
  if (total === 0) wrong.push('no job ended right')
  const good = wrong.length === 0
  const lines = [
    `chaos, seed ${seed}: ${(seconds / 60).toFixed(1)} minutes, ${nodes} nodes`,
    `faults  ${KINDS.map(kind => `${disturbed.counts[kind]} ${kind}`).join(', ')}`,
    `jobs    ${total} ended right, ${jobs.wrong.length} did not; ${jobs.resumed} resumed; ${jobs.otherBytes} with the same content in other bytes`,
    `blocks  ${jobs.blocks}; ${jobs.redispatched} ordered again, ${jobs.hedged} hedged, ${jobs.rejected} rejected`,
    '',
    ...[...jobs.seconds].map(([name, list]) => `  ${name.padEnd(24)} ${String(list.length).padStart(4)} jobs, ${quantiles(list)}`),
    '',
    ...charts(samples, seconds, nodes, steady),
    '',
    growth.length === 0
      ? `memory and descriptors: no process lived long enough to be judged (${SAMPLES_MIN} samples of the second half)`
      : `memory and descriptors: ${growth.length / 2} processes judged, ${grown.length === 0 ? 'flat' : 'NOT FLAT'}; most growth ${most(growth, 'memory').toFixed(0)} MiB, ${most(growth, 'descriptors').toFixed(0)} descriptors in the second half`,
    `samples: ${samplesFile}`,
    ...(logged.length > 0 ? ['', 'errors in the logs:', ...some(logged).map(line => `  ${line}`)] : []),
    '',
    ...(good ? ['Everything ended right.'] : [`WRONG (${wrong.length}):`, ...some(wrong).map(line => `  ${line}`)])
  ]
  return { text: lines.join('\n'), good }
}

const most = (growth: ReturnType<typeof growthOf>, what: string): number => Math.max(...growth.filter(one => one.what === what).map(({ grown }) => grown))

function quantiles (list: number[]): string {
  const sorted = list.toSorted((a, b) => a - b)
  const at = (part: number): string => `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN).toFixed(1)} s`
  return `half below ${at(0.5)}, longest ${at(1)}`
}

function charts (samples: Sample[], seconds: number, nodes: number, steady: string[]): string[] {
  const lines: string[] = []
  for (const [what, value] of [['MiB', (one: Sample) => one.rssMb], ['descriptors', (one: Sample) => one.descriptors]] as const) {
    for (let i = 0; i < nodes; i++) {
      const own = samples.filter(({ node }) => node === nameOf(i))
      if (own.length === 0) continue
      const points = own.map((one): [number, number] => [one.at, value(one)])
      const all = points.map(([, each]) => each)
      lines.push(`  ${nameOf(i).padEnd(4)}${steady.includes(nameOf(i)) ? '*' : ' '} ${sparkline(points, seconds)} ${Math.min(...all).toFixed(0)} to ${Math.max(...all).toFixed(0)} ${what}`)
    }
  }
  return [...lines, '  (* is never ended)']
}
