/**
 * A test network's scenario: nodes, what happens to them and when, and what must hold in the end. Documented in docs/testnet.md.
 */
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { usage } from '../lib/failure.ts'
import { NODES_MAX } from './constants.ts'
import { parseMilliseconds } from './links.ts'
import { profile, readJson, type NodeProfile } from './profile.ts'

/** Milliseconds a scenario may take without a limit of its own. */
const LIMIT_MS = 300_000

const time = z.string().regex(/^\d+(\.\d+)?(ms|s)$/, { error: 'expected a time like "2s" or "500ms"' })
const job = z.int().min(0)
const name = z.string().regex(/^n\d+$/, { error: 'expected the name of a node, like "n1"' })
/** Fields of an event that must be equal; `peer` is the name of a node. */
const match = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))

const convert = z.strictObject({
  input: z.union([z.string(), z.array(z.string()).min(1)]),
  to: z.string(),
  on: name.default('n0'),
  args: z.array(z.string()).default([])
})

const STATES = ['preparing', 'running', 'merging', 'done', 'failed', 'cancelled'] as const

const when = z.strictObject({ job, blocksDone: z.int().min(1).optional(), state: z.enum(STATES, { error: `expected a state of a job: ${STATES.join(', ')}` }).optional(), event: match.optional() })
  .refine(({ blocksDone, state, event }) => [blocksDone, state, event].filter(value => value != null).length === 1, { error: 'expected "job" and one of "blocksDone", "state" and "event"' })

const VERBS = ['kill', 'stop', 'start', 'pause', 'unpause', 'partition', 'latency', 'bandwidth', 'loss', 'heal'] as const
export type ScenarioVerb = typeof VERBS[number]

/** Commands that take the name of one node and nothing else. */
const OF_ONE_NODE = /^(kill|stop|start|pause|unpause)\b/

const command = z.string().refine(text => VERBS.includes((text.split(/\s+/)[0] ?? '') as ScenarioVerb), { error: `expected a command of scripts/testnet: ${VERBS.join(', ')}, like "kill n3"` })
const step = z.strictObject({ at: time.optional(), after: time.optional(), when: when.optional(), do: z.union([command, z.strictObject({ convert })], { error: 'expected a command like "kill n3", or {"convert": {"input", "to"}}' }) })
  .refine(({ at, after, when }) => [at, after, when].filter(value => value != null).length <= 1, { error: 'expected one of "at", "after" and "when" at most' })

const bound = z.union([z.string(), z.number(), z.boolean(), z.strictObject({ min: z.number().optional(), max: z.number().optional() })], { error: 'expected a value, or {"min"?, "max"?}' })
const RESERVED = ['job', 'output', 'to', 'events', 'noProcessLeft']
const expectation = z.looseObject({
  job: job.optional(),
  output: z.literal('equal', { error: 'expected "equal"' }).optional(),
  to: z.string().optional(),
  events: z.array(match).min(1).optional(),
  noProcessLeft: z.literal(true).optional()
}).superRefine((tree, context) => {
  for (const [key, value] of Object.entries(tree)) {
    const bad = RESERVED.includes(key) ? undefined : bound.safeParse(value).error?.issues[0]
    if (bad != null) context.addIssue({ code: 'custom', path: [key], message: bad.message, input: value })
  }
  if (tree.noProcessLeft == null && tree.job == null) context.addIssue({ code: 'custom', message: 'expected "job" (the number of a conversion, from 0), or "noProcessLeft"', input: tree })
})

const file = z.strictObject({
  description: z.string().optional(),
  nodes: z.union([z.int().min(1).max(NODES_MAX), profile.shape.nodes], { error: 'expected how many nodes, or a list as in a profile' }),
  seed: z.string().max(64).default('scenario'),
  limit: time.optional(),
  steps: z.array(step, { error: 'expected a list of steps' }).min(1, { error: 'expected one step at least' }),
  expect: z.array(expectation, { error: 'expected a list of what must hold' }).min(1, { error: 'expected one thing at least that must hold, like {"noProcessLeft": true}' })
})

export type ScenarioStep = z.output<typeof step>
export type Expectation = z.output<typeof expectation>
export type EventMatch = z.output<typeof match>
export type Bound = z.output<typeof bound>
export type Conversion = z.output<typeof convert>

export interface Scenario {
  description?: string
  profiles: NodeProfile[]
  seed: string
  limitMs: number
  /** Paths in it are absolute. */
  steps: ScenarioStep[]
  expect: Expectation[]
}

/** Checks what can be checked before anything runs: names of nodes, numbers of jobs. */
export async function readScenario (path: string): Promise<Scenario> {
  const tree = await readJson(path, '--scenario', file)
  const profiles = typeof tree.nodes === 'number' ? Array.from({ length: tree.nodes }, () => ({})) : tree.nodes as NodeProfile[]
  const refuse = (key: string, message: string): never => { throw usage(`--scenario: ${path}: ${key}: ${message}`, { path, key }) }
  const known = (key: string, node: string): void => { if (Number(node.slice(1)) >= profiles.length) refuse(key, `there is no ${node}: the nodes are n0 to n${profiles.length - 1}`) }
  const peerOf = (key: string, event: EventMatch = {}): void => { if (typeof event.peer === 'string' && /^n\d+$/.test(event.peer)) known(key, event.peer) }
  let jobs = 0
  const folder = dirname(resolve(path))
  const steps = tree.steps.map((step, index): ScenarioStep => {
    if (step.when != null && step.when.job >= jobs) refuse(`steps[${index}].when.job`, `${step.when.job} is not begun by then`)
    peerOf(`steps[${index}].when.event.peer`, step.when?.event)
    if (typeof step.do === 'string') {
      for (const node of step.do.match(/\bn\d+\b/g) ?? []) known(`steps[${index}].do`, node)
      if (OF_ONE_NODE.test(step.do) && !/^\w+\s+n\d+\s*$/.test(step.do)) refuse(`steps[${index}].do`, `expected one node, like "${step.do.split(/\s+/)[0] as string} n1"`)
      return step
    }
    jobs++
    known(`steps[${index}].do.convert.on`, step.do.convert.on)
    const inputs = [step.do.convert.input].flat().map(input => resolve(folder, input))
    return { ...step, do: { convert: { ...step.do.convert, input: inputs } } }
  })
  const expect = tree.expect.map((expectation, index) => {
    if (expectation.job != null && expectation.job >= jobs) refuse(`expect[${index}].job`, `there are ${jobs} conversions, counted from 0`)
    expectation.events?.forEach((event, at) => { peerOf(`expect[${index}].events[${at}].peer`, event) })
    return expectation.to == null ? expectation : { ...expectation, to: resolve(folder, expectation.to) }
  })
  return { ...(tree.description == null ? {} : { description: tree.description }), profiles, seed: tree.seed, limitMs: tree.limit == null ? LIMIT_MS : parseMilliseconds(tree.limit, 'limit'), steps, expect }
}
