/** The probe converters: work whose cost and result are known exactly, for tests, benches and canaries. */
import { hash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { BlockResult, BlockSource, ConvertContext, Converter, Parameters } from '../index.ts'
import { chunksOf, digestOf } from './bytes.ts'
import { COPY, NOOP, OCTETS, PROGRESS_MS, SLEEP, SLEEP_MS_MAX } from './constants.ts'
import { numberBetween, validate, type Rules } from './settings.ts'

/** A converter that can also be called on bytes in memory without a promise. */
export interface SyncConverter extends Converter {
  convertBytes: (input: Uint8Array, params: Parameters) => { bytes: Uint8Array, units?: number }
}

/** What all probe converters have in common. */
export const PROBE = {
  version: '1',
  from: OCTETS,
  equivalence: 'byte-exact',
  deterministic: 'bytes',
  mergeClass: () => ''
} as const

export const RULES: Record<string, Rules> = {
  'probe/noop': {},
  'probe/sleep': {
    milliseconds: numberBetween(0, SLEEP_MS_MAX, 0),
    // Share of the duration by which a block may be shorter or longer, by its content.
    jitter: numberBetween(0, 1, 0)
  },
  'probe/copy': {}
}

export function rulesOf (id: string): Rules {
  return RULES[id] ?? {}
}

/** Its output is the sha2-256 of its input: 32 bytes that differ from block to block and are checked exactly. */
export const noop: SyncConverter = {
  ...PROBE,
  id: 'probe/noop',
  to: NOOP,
  runs: 'inline',
  validate: params => validate('probe/noop', rulesOf('probe/noop'), params),
  convertBytes: input => ({ bytes: hash('sha256', input, 'buffer'), units: 1 }),
  convert: async input => ({ bytes: await digestOf(input), units: 1 })
}

/** Lasts as long as it is told, and gives what `probe/noop` gives. It runs in an engine process, so it occupies a slot. */
export const sleep: Converter = {
  ...PROBE,
  id: 'probe/sleep',
  to: SLEEP,
  runs: 'process',
  validate: params => validate('probe/sleep', rulesOf('probe/sleep'), params),
  async convert (input, params, context) {
    const { milliseconds, jitter } = validate('probe/sleep', rulesOf('probe/sleep'), params) as { milliseconds: number, jitter: number }
    const digest = await digestOf(input)
    await pass(sleepMs(milliseconds, jitter, digest), context)
    return { bytes: digest, units: 1 }
  }
}

/** The duration of a block: `milliseconds` ± `jitter` of it, drawn from the block's digest so that it repeats. */
export function sleepMs (milliseconds: number, jitter: number, digest: Uint8Array): number {
  const drawn = new DataView(digest.buffer, digest.byteOffset).getUint32(0) / 0xffffffff
  return milliseconds * (1 + jitter * (2 * drawn - 1))
}

/** Copies its bytes through an engine process. */
export const copy: Converter = {
  ...PROBE,
  id: 'probe/copy',
  to: COPY,
  runs: 'process',
  validate: params => validate('probe/copy', rulesOf('probe/copy'), params),
  convert: async (input, _params, context) => await copyTo(input, context)
}

/** Writes the input to `context.output`, with progress in bytes. */
export async function copyTo (input: BlockSource, context: ConvertContext, edit: (chunk: Uint8Array) => Uint8Array = chunk => chunk): Promise<BlockResult> {
  let done = 0
  await pipeline(async function * () {
    for await (const chunk of chunksOf(input)) {
      yield edit(chunk)
      done += chunk.byteLength
      context.progress(done)
    }
  }, createWriteStream(context.output), { signal: context.signal })
  return { units: done }
}

/** Waits, reporting progress; rejects with the signal's reason when it fires. */
export async function pass (ms: number, context: Pick<ConvertContext, 'signal' | 'progress'>): Promise<void> {
  const start = performance.now()
  for (;;) {
    context.signal.throwIfAborted()
    const passed = performance.now() - start
    context.progress(Math.floor(Math.min(passed, ms)))
    if (passed >= ms) return
    await delay(Math.min(PROGRESS_MS, ms - passed), undefined, { signal: context.signal })
  }
}
