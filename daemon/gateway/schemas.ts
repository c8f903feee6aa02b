/** What the API takes and gives (zod); `/openapi.json` is made from these. Answers are described, not filtered. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import type { JobLook, JobReport } from '../coordinator/index.ts'
import type { ConverterView, NodeStatus } from './index.ts'
import { DRAIN_MS_DEFAULT, DRAIN_MS_MAX, INPUTS_MAX, PAGE_DEFAULT, PAGE_MAX, PATH_MAX, SETTING_MAX } from './constants.ts'

const path = z.string().min(1).max(PATH_MAX)
  .refine(value => isAbsolute(value) && !value.includes('\0'), { error: 'expected an absolute path' })
export const typeName = z.string().min(1).max(200)

export const jobRequest = z.strictObject({
  inputs: z.array(path).min(1).max(INPUTS_MAX).describe('Absolute paths, read in place'),
  to: typeName.describe('Media type or usual extension'),
  from: typeName.optional().describe('Media type or extension of the inputs, where their content does not tell'),
  output: path.describe('Absolute path of the output'),
  overwrite: z.boolean().optional(),
  settings: z.record(z.string().max(200), z.string().max(SETTING_MAX)).optional().describe('Settings of the conversion, as with --set'),
  place: z.enum(['any', 'local', 'remote']).optional(),
  nodes: z.array(z.string().min(1).max(100)).max(1000).optional().describe('Only these peers'),
  maxPrice: z.string().regex(/^(0|[1-9]\d{0,18})$/, { error: 'expected a whole number of 10^-6 units as text, like "250000"' }).optional().describe('Per resource hour, in this node\'s unit: peers that ask more get no blocks'),
  verify: z.enum(['none', 'sample', 'all']).optional(),
  blockBytes: z.int().min(1).optional().describe('Bytes per block'),
  deadlineSeconds: z.number().positive().max(365 * 24 * 3600).optional(),
  inFlight: z.int().min(1).max(100_000).optional().describe('Orders in flight per worker, for measurements'),
  awaitCommit: z.boolean().optional().describe('An order counts as in flight until its result is durable, for measurements')
})

/** Digits of a query; `limit=` must not become 0. */
export const whole = (max: number): z.ZodType<number, unknown> => z.string().regex(/^\d+$/, { error: 'expected a whole number' }).transform(Number).pipe(z.int().min(1).max(max))

export const jobsQuery = z.strictObject({
  state: z.enum(['preparing', 'running', 'merging', 'done', 'failed', 'cancelled']).optional(),
  limit: whole(PAGE_MAX).default(PAGE_DEFAULT)
})

export const blocksQuery = z.strictObject({
  limit: z.literal('0').transform(() => 0).or(whole(PAGE_MAX)).default(PAGE_DEFAULT).describe('At most so many blocks; 0: none, workers and reasons only')
})

export const jobParams = z.strictObject({ id: z.string().min(1).max(200) })
export const uploadParams = z.strictObject({ id: z.uuid() })

export const waitQuery = z.strictObject({
  wait: z.enum(['true', 'false']).optional().describe('Hold the answer until the job ends, at most a minute; then ask again')
})

export const outputQuery = z.strictObject({
  index: z.string().regex(/^\d{1,5}$/, { error: 'expected a whole number' }).transform(Number).optional().describe('Which output, from 0')
})

export const eventsQuery = z.strictObject({
  job: z.string().max(200).optional().describe('Only this job\'s events'),
  types: z.string().max(200).optional().describe('Only these types, separated by commas: state, plan, progress, worker, block')
})

/** The type comes from the contract, the schema is for the description: more fields may follow. */
export const describes = <T>(schema: z.ZodType): z.ZodType<T, T> => schema as z.ZodType<T, T>

const conversionStep = z.looseObject({ id: z.string(), version: z.string(), parameters: z.record(z.string(), z.unknown()) })
const file = z.looseObject({ path: z.string(), mediaType: z.string(), encoding: z.enum(['gzip', 'zstd', 'brotli', 'xz']).optional().describe('How the file is compressed on top of its media type'), bytes: z.number(), cid: z.string().optional() })

const note = z.looseObject({
  code: z.string(), message: z.string(), input: z.string().optional(), columns: z.array(z.string()).optional(), count: z.number().optional()
})

const why = z.array(z.looseObject({
  peer: z.string().optional().describe('Absent: the job itself'), reason: z.string().describe('A word for programs'), message: z.string(), inMs: z.number().optional().describe('Milliseconds until that may change by itself')
})).describe('Why it does not run, or not everywhere, with the peers left out')

const attempt = z.looseObject({
  attempt: z.number(), peer: z.string(), state: z.enum(['out', 'called-off', 'taken', 'ended']), ageMs: z.number().describe('Milliseconds since it was given to the peer'),
  forMs: z.number().optional().describe('Milliseconds until it was known that nothing comes of it'), copy: z.string().optional().describe('Why it was given while somebody else had the block'),
  ended: z.string().optional().describe('Why nothing came of it')
})

export const jobLook = describes<JobLook>(z.looseObject({
  job: z.string(),
  state: z.enum(['preparing', 'running', 'merging', 'done', 'failed', 'cancelled']),
  at: z.number().describe('UTC milliseconds; ages are relative to it'),
  total: z.number(),
  known: z.boolean().describe('No block follows: `total` is final'),
  done: z.number(),
  blocks: z.array(z.looseObject({ block: z.number(), bytes: z.number(), state: z.enum(['ready', 'leased', 'storing', 'inspecting', 'checking', 'committing', 'done']), attempts: z.array(attempt) })).describe('Not done: longest out first, then results on their way to the disk, then what waits'),
  workers: z.array(z.looseObject({ peer: z.string(), kind: z.enum(['local', 'remote']), state: z.string(), message: z.string().optional(), inMs: z.number().optional(), has: z.number(), blocks: z.array(z.number()), oldestMs: z.number().optional(), done: z.number(), bytesPerSecond: z.number().optional() })),
  moreWorkers: z.number(),
  moved: z.array(z.looseObject({ block: z.number(), from: z.string(), to: z.string().optional(), copy: z.boolean(), reason: z.string(), agoMs: z.number() })).describe('Blocks that left a worker, or came to a second one; the newest first'),
  why
}))

export const jobReport = describes<JobReport>(z.looseObject({
  job: z.string(),
  state: z.enum(['preparing', 'running', 'merging', 'done', 'failed', 'cancelled']),
  error: z.looseObject({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).optional() }).optional(),
  seconds: z.number(),
  cost: z.string(),
  resumed: z.boolean().describe('An earlier run of this job did not end it'),
  inputs: z.array(file),
  outputs: z.array(file),
  conversion: z.array(conversionStep),
  blocks: z.record(z.string(), z.number()).describe('Counts. total, done; done: local or remote; redispatched: sent again; hedged: second copies while the first was out; rejected: wrong results; redone: converted again since types changed; restored: kept from an earlier run'),
  why: why.optional().describe('While it has not ended, in the answer for one job'),
  resumableUntil: z.number().optional().describe('What the job had done before it ended badly is kept until then (UTC milliseconds); see POST /jobs/{id}/resume'),
  epochs: z.number().describe('Changes of the schema while the job ran'),
  notes: z.array(note).describe('What a user should know of the conversion; where there are more than a report takes, the last one says so'),
  check: z.looseObject({ equivalence: z.string(), distance: z.number(), bound: z.number() }),
  workers: z.array(z.looseObject({ peer: z.string(), blocks: z.number(), seconds: z.number(), cost: z.string(), price: z.string().optional(), unit: z.string().optional() }))
}).describe('The report of a job'))

export const jobList = z.object({ jobs: z.array(jobReport) })

export const status = describes<NodeStatus>(z.looseObject({
  version: z.string(), peerId: z.string(), operator: z.string(), network: z.string(), multiaddrs: z.array(z.string()), api: z.string(),
  state: z.enum(['starting', 'ready', 'draining', 'drained', 'stopping']), peers: z.number(), uptimeSeconds: z.number(), pid: z.number(), dataDir: z.string(),
  availability: z.object({ slots: z.number(), paused: z.boolean(), reason: z.string().optional() }).optional().describe('How much this node does for others by its policy')
}))

export const drainRequest = z.strictObject({
  deadlineMs: z.int().min(0).max(DRAIN_MS_MAX).default(DRAIN_MS_DEFAULT).describe('Milliseconds after which blocks that still run for others are handed back')
}).prefault({})

export const converterList = z.object({
  converters: z.array(describes<ConverterView>(z.looseObject({ id: z.string(), version: z.string(), from: z.string(), to: z.string(), equivalence: z.string(), deterministic: z.string() })))
})

export const upload = z.object({ id: z.string(), path: z.string(), bytes: z.number() })

export const problem = z.object({
  type: z.string(), title: z.string(), status: z.number(), detail: z.string(), code: z.string(), details: z.record(z.string(), z.unknown()).optional()
}).describe('Problem details (RFC 9457)')
