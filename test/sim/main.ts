/**
 * `npm run sim -- --seeds N [--nodes M] [--seed S] [--fault NAME] [--json]`: runs the simulator over seeds 1..N, or over one seed.
 * Exits 1 on a violation and prints the seed and the last events; the same seed replays them exactly.
 */
import { parseArgs } from 'node:util'
import { FAULTS, type Fault } from './model.ts'
import { simulate, type SimResult } from './scenario.ts'

const SEEDS_DEFAULT = 500

function usage (message: string): never {
  process.stderr.write(`${message}\nusage: npm run sim -- [--seeds N | --seed S] [--nodes M] [--fault ${FAULTS.join('|')}] [--json]\n`)
  process.exit(2)
}

function integer (name: string, text: string | undefined, least: number): number | undefined {
  if (text == null) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least) usage(`--${name} is an integer from ${least}`)
  return value
}

function options (): { first: number, last: number, nodes?: number, fault?: Fault, json: boolean } {
  let values
  try {
    values = parseArgs({ options: { seeds: { type: 'string' }, seed: { type: 'string' }, nodes: { type: 'string' }, fault: { type: 'string' }, json: { type: 'boolean' } } }).values
  } catch (error) {
    usage((error as Error).message)
  }
  const seed = integer('seed', values.seed, 0)
  const fault = FAULTS.find(known => known === values.fault)
  if (values.fault != null && fault == null) usage(`no fault is called '${values.fault}'`)
  return {
    first: seed ?? 1,
    last: seed ?? integer('seeds', values.seeds, 1) ?? SEEDS_DEFAULT,
    nodes: integer('nodes', values.nodes, 2),
    fault,
    json: values.json ?? false
  }
}

const { first, last, nodes, fault, json } = options()
const started = performance.now()
const violations: SimResult[] = []
const totals = { steps: 0, late: 0, rejected: 0, redispatched: 0, redone: 0, jobs: {} as Record<string, number> }
let hash = ''
for (let seed = first; seed <= last; seed++) {
  const result = simulate({ seed, nodes, fault })
  hash = result.traceHash
  totals.steps += result.steps
  totals.late += result.late
  totals.rejected += result.rejected
  totals.redispatched += result.redispatched
  totals.redone += result.redone
  for (const [state, count] of Object.entries(result.jobs)) totals.jobs[state] = (totals.jobs[state] ?? 0) + count
  if (result.violation == null) continue
  violations.push(result)
  // With a planted fault the question is how many seeds find it; without one the first is enough.
  if (fault == null) break
}
const seconds = (performance.now() - started) / 1000
const seeds = last - first + 1

if (json) {
  process.stdout.write(JSON.stringify({ seeds, first, last, nodes, fault, seconds, ...totals, traceHash: seeds === 1 ? hash : undefined, violations: violations.map(({ seed, violation, lastEvents }) => ({ seed, violation, lastEvents })) }) + '\n')
} else {
  const firstViolation = violations[0]
  if (firstViolation != null) {
    process.stderr.write(`${firstViolation.lastEvents?.join('\n')}\n\nseed ${firstViolation.seed}: ${firstViolation.violation}\nreplay: npm run sim -- --seed ${firstViolation.seed}${nodes == null ? '' : ` --nodes ${nodes}`}${fault == null ? '' : ` --fault ${fault}`}\n`)
  }
  const jobs = Object.entries(totals.jobs).map(([state, count]) => `${count} ${state}`).join(', ')
  process.stdout.write(`${seeds} seeds, ${violations.length} violations, ${totals.steps} steps in ${seconds.toFixed(1)} s; jobs: ${jobs}; ${totals.redispatched} redispatched, ${totals.redone} redone, ${totals.rejected} rejected, ${totals.late} late results${seeds === 1 ? `; trace ${hash}` : ''}\n`)
}
process.exitCode = violations.length > 0 ? 1 : 0
