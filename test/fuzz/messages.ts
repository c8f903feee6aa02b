/**
 * Mutated messages through every decoder that takes bytes of strangers. Each must give a value or its module's own error, in bounded time and memory:
 *
 *   npm run fuzz:messages -- [--count 100000] [--seed 1] [--decoder NAME,NAME]
 *   npm run fuzz:messages -- --replay NAME:HEX
 *
 * Exits 1 if one did not, with the seed and the input.
 */
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { randomOf } from './messages/mutate.ts'
import { fuzz, type Finding, type Outcome } from './messages/run.ts'
import { allTargets } from './messages/targets.ts'

/** Milliseconds without a new input after which a decoder counts as hung: far above any pause of a machine that is merely busy. */
const HANG_MS = 60_000

/** MiB of heap after which a decoder counts as unbounded. */
const HEAP_MIB = 512

/** Bytes of the input under way that the main thread can read when the decoder does not come back. */
const INPUT_BYTES = 4 << 20

interface Job { name: string, count: number, seed: number, input: SharedArrayBuffer, state: SharedArrayBuffer }

if (isMainThread) process.exitCode = await main()
else await serve(workerData as Job)

async function serve ({ name, count, seed, input, state }: Job): Promise<void> {
  const target = (await allTargets()).find(candidate => candidate.name === name)
  if (target == null) throw new Error(`no decoder ${name}`)
  const [bytes, progress] = [new Uint8Array(input), new Int32Array(state)]
  const outcome = await fuzz(target, {
    count,
    seed,
    before: (index, current) => {
      bytes.set(current.subarray(0, INPUT_BYTES))
      Atomics.store(progress, 1, current.byteLength)
      Atomics.store(progress, 0, index + 1)
    }
  })
  parentPort?.postMessage(outcome)
}

async function main (): Promise<number> {
  const { values } = parseArgs({ options: { count: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' }, decoder: { type: 'string' }, replay: { type: 'string' } } })
  const [count, seed] = [Number(values.count), Number(values.seed)]
  const names = (await allTargets()).map(({ name }) => name)
  if (values.replay != null) return await replay(values.replay)
  const chosen = values.decoder?.split(',') ?? names
  const unknown = chosen.find(name => !names.includes(name))
  if (unknown != null || !Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed)) {
    console.error(`${unknown == null ? 'a count and a seed are whole numbers' : `no decoder ${unknown}`}; usage: npm run fuzz:messages -- [--count N] [--seed S] [--decoder ${names.join(',')}] [--replay NAME:HEX]`)
    return 2
  }
  console.log(`${count} messages per decoder, seed ${seed}`)
  console.log(`${'decoder'.padEnd(20)}${'count'.padStart(10)}${'accepted'.padStart(10)}${'refused'.padStart(10)}${'max µs'.padStart(10)}${'heap KiB'.padStart(10)}${'per second'.padStart(12)}`)
  const findings: Finding[] = []
  for (const name of chosen) {
    const outcome = await run(name, count, seed)
    if (outcome.finding != null) findings.push(outcome.finding)
    console.log(`${name.padEnd(20)}${String(outcome.count).padStart(10)}${String(outcome.accepted).padStart(10)}${String(outcome.refused).padStart(10)}${String(outcome.maxMicroseconds).padStart(10)}${String(Math.round(outcome.heapGrowth / 1024)).padStart(10)}${String(Math.round(outcome.count / Math.max(outcome.seconds, 0.001))).padStart(12)}`)
  }
  for (const { target, seed: from, index, what, hex } of findings) console.log(`\nFOUND in ${target}, seed ${from}, message ${index}: ${what}\n  npm run fuzz:messages -- --replay ${target}:${hex}`)
  console.log(findings.length === 0 ? '\nnothing found' : `\n${findings.length} decoders with a finding`)
  return findings.length === 0 ? 0 : 1
}

/** In a thread of its own: one that hangs or fills the memory is a finding like any other, and is ended. */
async function run (name: string, count: number, seed: number): Promise<Outcome> {
  const [input, state] = [new SharedArrayBuffer(INPUT_BYTES), new SharedArrayBuffer(8)]
  const progress = new Int32Array(state)
  const worker = new Worker(new URL(import.meta.url), { workerData: { name, count, seed, input, state } satisfies Job, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } })
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const lost = (what: string): void => {
    const hex = Buffer.from(new Uint8Array(input).subarray(0, progress[1])).toString('hex')
    resolve({ target: name, count: progress[0] ?? 0, accepted: 0, refused: 0, maxMicroseconds: 0, heapGrowth: 0, seconds: 0, finding: { target: name, seed, index: (progress[0] ?? 1) - 1, hex, what } })
  }
  let [seen, at] = [-1, performance.now()]
  const watch = setInterval(() => {
    const now = Atomics.load(progress, 0)
    if (now !== seen) [seen, at] = [now, performance.now()]
    else if (performance.now() - at > HANG_MS) lost(`did not come back within ${HANG_MS} ms`)
  }, 1000)
  worker.on('message', (outcome: Outcome) => { resolve(outcome) })
  worker.on('error', error => { lost(`ended the thread: ${error.message}`) })
  worker.on('exit', code => { lost(`ended the thread with ${code}`) })
  try {
    return await promise
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

async function replay (text: string): Promise<number> {
  const [name, hex = ''] = text.split(':')
  const target = (await allTargets()).find(candidate => candidate.name === name)
  if (target == null) {
    console.error(`no decoder ${name}`)
    return 2
  }
  try {
    console.log('accepted', await target.decode(Uint8Array.from(Buffer.from(hex, 'hex')), randomOf(1)))
    return 0
  } catch (error) {
    const own = target.errors.some(type => error instanceof type) || target.names?.includes((error as Error).name) === true
    console.log(own ? 'refused, as it should be:' : 'FOUND:', error)
    return own ? 0 : 1
  }
}
