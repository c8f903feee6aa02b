/** Builds the report of a job from what is known of it. Pure. */
import { rawCid } from './spec.ts'
import type { Conversion, Encoding, Input, Note } from '../block-convert/index.ts'
import type { JobError, JobReport, JobState } from './index.ts'
import type { JobCounts } from './machine-types.ts'

export interface JobFacts {
  job: string
  state: JobState
  error?: JobError
  /** UTC milliseconds. */
  created: number
  finished?: number
  now: number
  inputs: Input[]
  inputDigests: Array<Uint8Array | undefined>
  output: { path: string, mediaType: string, encoding?: Encoding }
  /** Known once the output was written. */
  written?: { size: number, digest: Uint8Array }
  conversion?: Conversion
  bound: number
  /** What this node counts in: the unit of those that ask nothing. */
  priceUnit: string
  /** An earlier run did not end the job. @default false */
  resumed?: boolean
  /** Blocks whose result that run had made. @default 0 */
  restored?: number
  notes: Note[]
  counts?: JobCounts
  timing: { prepareMs: number, convertMs: number, mergeMs: number, checkMs: number, runMs: number }
}

export function percentile (values: readonly number[], share: number): number {
  if (values.length === 0) return 0
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number
}

const round = (value: number): number => Math.round(value * 1000) / 1000

/** Absent where there is none: fields of a report are not undefined. */
function encodingOf (encoding: Encoding | undefined): { encoding?: Encoding } {
  return encoding == null ? {} : { encoding }
}

/** How an equivalence is named in a report. */
function equivalenceName (conversion: Conversion | undefined): string {
  const equivalence = conversion?.converter.equivalence
  if (equivalence == null) return 'unknown'
  return typeof equivalence === 'string' ? equivalence : equivalence.metric
}

export function buildReport (facts: JobFacts): JobReport {
  const { counts, conversion, timing, written, output } = facts
  const done = counts?.done ?? 0
  return {
    job: facts.job,
    state: facts.state,
    error: facts.error,
    seconds: round(((facts.finished ?? facts.now) - facts.created) / 1000),
    cost: '0',
    resumed: facts.resumed ?? false,
    inputs: facts.inputs.map(({ path, mediaType, encoding, size }, i) => {
      const digest = facts.inputDigests[i]
      return { path, mediaType, ...encodingOf(encoding), bytes: size, cid: digest == null ? undefined : rawCid(digest) }
    }),
    outputs: written != null && facts.state !== 'failed' && facts.state !== 'cancelled'
      ? [{ path: output.path, mediaType: output.mediaType, ...encodingOf(output.encoding), bytes: written.size, cid: rawCid(written.digest) }]
      : [],
    conversion: conversion == null ? [] : [{ id: conversion.converter.id, version: conversion.converter.version, parameters: conversion.parameters }],
    blocks: {
      total: counts?.blocks ?? 0,
      done,
      local: counts?.local ?? 0,
      remote: counts?.remote ?? 0,
      memo: 0,
      redispatched: counts?.redispatched ?? 0,
      hedged: counts?.hedged ?? 0,
      rejected: counts?.rejected ?? 0,
      redone: counts?.redone ?? 0,
      restored: facts.restored ?? 0
    },
    epochs: counts?.epochs ?? 0,
    notes: facts.notes,
    check: {
      equivalence: equivalenceName(conversion),
      distance: counts?.greatestDistance ?? 0,
      bound: facts.bound,
      blocksChecked: counts?.checked ?? 0,
      blocksUnmeasured: done - (counts?.checked ?? 0),
      whole: counts?.whole ?? false
    },
    workers: (counts?.workers ?? []).map(({ id, blocks, wallMs, failed, lost, asked }) => ({ peer: id, blocks, seconds: round(wallMs / 1000), cost: '0', failed, lost, price: asked?.price ?? '0', unit: asked?.unit ?? facts.priceUnit })),
    timing: {
      prepareMs: round(timing.prepareMs),
      convertMs: round(timing.convertMs),
      mergeMs: round(timing.mergeMs),
      checkMs: round(timing.checkMs),
      roundTripMsP50: round(percentile(counts?.roundTrips ?? [], 0.5)),
      roundTripMsP99: round(percentile(counts?.roundTrips ?? [], 0.99)),
      durableMsP50: round(percentile(counts?.durableTrips ?? [], 0.5)),
      durableMsP99: round(percentile(counts?.durableTrips ?? [], 0.99)),
      resultsPerSecond: timing.runMs > 0 ? round(done / (timing.runMs / 1000)) : 0
    },
    created: facts.created,
    finished: facts.finished
  }
}
