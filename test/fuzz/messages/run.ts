/** Runs mutants of a decoder's corpus through it and looks at what comes: a value, its own error, or a finding. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { below, mutated, pick, randomOf, type Random } from './mutate.ts'

/** Something that takes bytes of strangers. */
export interface Target {
  name: string
  /** Bytes it is given at most: beyond, whoever reads the stream has refused already. */
  maxBytes: number
  /** Valid messages, to start from. */
  corpus: readonly Uint8Array[]
  /** Throws, or rejects with, one of `errors`. What it gives is not looked at. */
  decode: (bytes: Uint8Array, random: Random) => unknown
  /** Its own error types, and nothing else, may be thrown. */
  errors: ReadonlyArray<abstract new (...args: never[]) => Error>
  /** Errors of libraries, by name, that are as good as its own. */
  names?: readonly string[]
  /** Makes an input in place of mutating bytes: signed things, whose payload is mutated. Undefined where the mutant cannot be encoded. */
  make?: (random: Random) => Promise<Uint8Array | undefined>
}

export interface Finding { target: string, seed: number, index: number, hex: string, what: string }

export interface Outcome {
  target: string
  count: number
  accepted: number
  refused: number
  /** Processor time of one input, the slowest: what else the machine does is no fault of the decoder's. */
  maxMicroseconds: number
  /** Bytes of heap after the run beyond those after its first tenth, garbage collected. 0 where it was not looked at. */
  heapGrowth: number
  seconds: number
  finding?: Finding
}

export interface RunOptions {
  count: number
  seed: number
  /** Called with every input before it is decoded, for whoever watches from outside. */
  before?: (index: number, bytes: Uint8Array) => void
}

/** Bytes the heap may grow in a run: caches of the runtime fill, messages must not stay. */
export const HEAP_GROWTH_MAX = 16 * 2 ** 20

/** Microseconds of processor time one message may take: a thousand times what they do take, and a pause of the garbage collector. */
export const MICROSECONDS_MAX = 2_000_000

/** Messages after which the event loop has a turn, as between any two messages of a real stream: what is let go then would add up otherwise. */
const TURN_EVERY = 64

/** Messages of a run from which on the heap is looked at: a few of them show nothing, and collecting it takes longer than they do. */
const HEAP_FROM = 1000

/** Mutants that were accepted, kept to be mutated further: how deep structures are reached. */
const KEPT_MAX = 64

export async function fuzz (target: Target, { count, seed, before }: RunOptions): Promise<Outcome> {
  const random = randomOf(seed ^ hashOf(target.name))
  const kept: Uint8Array[] = []
  const outcome: Outcome = { target: target.name, count: 0, accepted: 0, refused: 0, maxMicroseconds: 0, heapGrowth: 0, seconds: 0 }
  const started = performance.now()
  let heap = 0
  for (let index = 0; index < count; index++) {
    if (count >= HEAP_FROM && index === Math.floor(count / 10)) heap = await heapAfterCollection()
    // The first ones as they are: a corpus that is refused would prove nothing.
    const bytes = index < target.corpus.length ? target.corpus[index] as Uint8Array : await input(target, random, kept)
    if (bytes == null) continue
    if (index % TURN_EVERY === 0) await nextTurn()
    before?.(index, bytes)
    outcome.count++
    const begun = process.threadCpuUsage()
    let failure: string | undefined
    try {
      const value = target.decode(bytes, random)
      if (value instanceof Promise) await value
      outcome.accepted++
      if (index >= target.corpus.length) keep(random, kept, bytes)
    } catch (error) {
      outcome.refused++
      if (!isOwn(target, error)) failure = `threw ${describe(error)}`
      else if (index < target.corpus.length) failure = `refused a valid message: ${(error as Error).message}`
    }
    const { user, system } = process.threadCpuUsage(begun)
    outcome.maxMicroseconds = Math.max(outcome.maxMicroseconds, user + system)
    if (user + system > MICROSECONDS_MAX) failure ??= `took ${user + system} µs`
    if (failure != null) {
      outcome.finding = { target: target.name, seed, index, hex: Buffer.from(bytes).toString('hex'), what: failure }
      break
    }
  }
  outcome.seconds = (performance.now() - started) / 1000
  kept.length = 0
  if (count >= HEAP_FROM) outcome.heapGrowth = Math.max(0, await heapAfterCollection() - heap)
  if (outcome.heapGrowth > HEAP_GROWTH_MAX) outcome.finding ??= { target: target.name, seed, index: count, hex: '', what: `the heap grew by ${outcome.heapGrowth} bytes` }
  return outcome
}

async function input (target: Target, random: Random, kept: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
  if (target.make != null) return await target.make(random)
  const from = kept.length > 0 && below(random, 3) === 0 ? pick(random, kept) : pick(random, target.corpus)
  return mutated(random, from, target.corpus, target.maxBytes)
}

function keep (random: Random, kept: Uint8Array[], bytes: Uint8Array): void {
  // Long ones would make every later mutant slow to copy.
  if (bytes.byteLength > 4096) return
  if (kept.length < KEPT_MAX) kept.push(bytes)
  else kept[below(random, KEPT_MAX)] = bytes
}

function isOwn ({ errors, names = [] }: Target, error: unknown): boolean {
  return error instanceof Error && (errors.some(type => error instanceof type) || names.includes(error.name))
}

function describe (error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message} ${(error.stack ?? '').split('\n').slice(1, 4).map(line => line.trim()).join(' ')}` : String(error)
}

function hashOf (text: string): number {
  let hash = 2166136261
  for (const character of text) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619)
  return hash >>> 0
}

let collect: (() => void) | undefined

async function heapAfterCollection (): Promise<number> {
  if (collect == null) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  // Buffers outside the heap are let go in a later turn than what held them.
  for (let i = 0; i < 3; i++) {
    collect()
    await nextTurn()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
