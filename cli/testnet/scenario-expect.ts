/** What a scenario expects, held against what happened. Pure but for the comparison of files. */
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import { oneLine } from '../lib/failure.ts'
import type { Bound, EventMatch, Expectation } from './scenario.ts'

/** One conversion of a scenario. */
export interface RunJob {
  input: string[]
  /** Absolute path. */
  output: string
  /** Undefined before the first event. */
  id?: string
  events: JobEvent[]
  ended: boolean
  exitCode?: number
  report?: JobReport
  said: string
}

export interface Outcome {
  jobs: RunJob[]
  /** Peer ids by name of the node. */
  peers: ReadonlyMap<string, string>
  /** Processes that still run after the network went down, in words. */
  left: string[]
}

export interface Finding { ok: boolean, what: string, /** What was found instead. */ found?: string }

export type Compare = (a: string, b: string) => Promise<{ rows: number, difference?: string }>

/** Whether an event has these fields; `peer` is given by name. */
export function matches (event: JobEvent, wanted: EventMatch, peers: ReadonlyMap<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => (event as unknown as Record<string, unknown>)[key] === (key === 'peer' ? peers.get(String(value)) ?? value : value))
}

export async function judge (expectation: Expectation, { jobs, peers, left }: Outcome, compare: Compare): Promise<Finding[]> {
  const { job: number, output, to, events, noProcessLeft, ...bounds } = expectation
  const findings: Finding[] = []
  if (noProcessLeft === true) findings.push({ ok: left.length === 0, what: 'no process is left', ...(left.length > 0 ? { found: left.join(', ') } : {}) })
  const job = number == null ? undefined : jobs[number]
  if (number == null) return findings
  if (job == null) return [...findings, { ok: false, what: `job ${number} was begun`, found: 'the scenario ended before' }]
  for (const [path, bound] of Object.entries(bounds) as Array<[string, Bound]>) findings.push(within(`job ${number}: ${path}`, at(job.report, path) ?? (path === 'exitCode' ? job.exitCode : undefined), bound, job))
  if (output != null) findings.push(await equal(number, job, to ?? job.input[0] ?? '', compare))
  if (events != null) findings.push(inOrder(number, job, events, peers))
  return findings
}

/** `blocks.redispatched` of a report. */
function at (report: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => typeof value === 'object' && value != null ? (value as Record<string, unknown>)[key] : undefined, report)
}

function within (name: string, value: unknown, bound: Bound, { said }: RunJob): Finding {
  if (typeof bound !== 'object') return { ok: value === bound, what: `${name} is ${String(bound)}`, ...(value === bound ? {} : { found: value == null ? `nothing (${oneLine(said) || 'no report'})` : String(value) }) }
  const { min = -Infinity, max = Infinity } = bound
  const ok = typeof value === 'number' && value >= min && value <= max
  const words = [...(bound.min == null ? [] : [`at least ${min}`]), ...(bound.max == null ? [] : [`at most ${max}`])].join(' and ')
  return { ok, what: `${name} is ${words}${ok ? ` (${String(value)})` : ''}`, ...(ok ? {} : { found: String(value) }) }
}

async function equal (number: number, job: RunJob, other: string, compare: Compare): Promise<Finding> {
  const what = `job ${number}: the output equals ${other}`
  try {
    const { rows, difference } = await compare(other, job.output)
    return difference == null && rows > 0 ? { ok: true, what: `${what}, row by row (${rows})` } : { ok: false, what, found: difference ?? 'no rows' }
  } catch (error) {
    return { ok: false, what, found: oneLine((error as Error).message) }
  }
}

/** Each after the one before, with others in between. */
function inOrder (number: number, job: RunJob, wanted: EventMatch[], peers: ReadonlyMap<string, string>): Finding {
  const words = (event: EventMatch): string => Object.values(event).join(' ')
  const what = `job ${number}: events in order: ${wanted.map(words).join(', then ')}`
  let from = 0
  for (const event of wanted) {
    const index = job.events.findIndex((candidate, position) => position >= from && matches(candidate, event, peers))
    if (index < 0) return { ok: false, what, found: `no '${words(event)}'${from === 0 ? '' : ' after the ones before'}` }
    from = index + 1
  }
  return { ok: true, what }
}
