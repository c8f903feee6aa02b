/**
 * Random tables through every direction, read back by readers that are not the product's:
 *
 *   npm run fuzz -- [--tables 20000] [--seed S] [--formats csv,parquet] [--directions csv-parquet] [--nested] [--workers 2] [--out DIR]
 *   npm run fuzz -- --replay csv-parquet:SEED:PATH [--nested]
 *
 * A failure is shrunk and its smallest files are written below DIR, with a README that says what is wrong and how to see it again.
 * Exits 1 if there was one.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SOURCES } from './arbitrary.ts'
import { runBatch, type Batch, type BatchResult } from './batch.ts'
import { DIRECTIONS, nameOf } from './law.ts'

/** Tables of one seed: few enough that a failure costs little of what follows, enough to forget the cost of a message. */
const BATCH_TABLES = 20

if (process.send != null && process.argv[2] === 'worker') serve()
else process.exitCode = await main()

function serve (): void {
  process.on('message', async (batch: Batch) => { process.send?.(await runBatch(batch)) })
  process.on('disconnect', () => { process.exit() })
}

async function main (): Promise<number> {
  const { values } = parseArgs({
    options: {
      tables: { type: 'string', default: '20000' }, seed: { type: 'string' }, formats: { type: 'string' }, directions: { type: 'string' },
      nested: { type: 'boolean', default: false }, workers: { type: 'string', default: '2' }, out: { type: 'string', default: join(tmpdir(), 'weft-fuzz-failures') }, replay: { type: 'string' }
    }
  })
  const { nested, out } = values
  if (values.replay != null) return await replay(values.replay, nested, out)
  const seed = values.seed == null ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
  const tables = Number(values.tables)
  const formats = values.formats?.split(',')
  const wanted = values.directions?.split(',')
  const directions = DIRECTIONS.filter(direction => (formats == null || (formats.includes(direction.from) && formats.includes(direction.to))) && (wanted == null || wanted.includes(nameOf(direction))))
  if (directions.length === 0 || !Number.isSafeInteger(seed) || !Number.isSafeInteger(tables) || tables < 1) {
    console.error(`usage: npm run fuzz -- [--tables N] [--seed S] [--formats ${SOURCES.join(',')}] [--directions csv-parquet,...] [--nested] [--workers N] [--out DIR] [--replay DIRECTION:SEED:PATH]`)
    return 2
  }
  console.log(`${tables} tables, seed ${seed}, ${directions.length} directions${nested ? ', nested types too' : ''}`)
  const batches = Array.from({ length: Math.ceil(tables / BATCH_TABLES) }, (_, i): Batch => ({
    direction: directions[i % directions.length]!, seed: seed + i, tables: Math.min(BATCH_TABLES, tables - i * BATCH_TABLES), nested, out
  }))
  const started = performance.now()
  const results: BatchResult[] = []
  await Promise.all(Array.from({ length: Number(values.workers) }, async () => {
    let worker: ChildProcess | undefined
    for (let batch = batches.shift(); batch != null; batch = batches.shift()) {
      worker ??= fork(import.meta.filename, ['worker'])
      const result = await ask(worker, batch)
      if (result.failure != null) console.log(`\n${result.failure.message}\n  ${result.failure.folder}\n  ${result.failure.replay}`)
      results.push(result)
      if (!worker.connected) worker = undefined
    }
    worker?.disconnect()
  }))
  report(results, (performance.now() - started) / 1000)
  return results.some(({ failure }) => failure != null) ? 1 : 0
}

/** An engine that crashes takes its process along: that is a failure with a seed like any other. */
async function ask (worker: ChildProcess, batch: Batch): Promise<BatchResult> {
  worker.send(batch)
  const stop = new AbortController()
  const died = once(worker, 'exit', { signal: stop.signal }).then(([code, signal]): BatchResult => {
    if (worker.connected) worker.disconnect()
    const name = nameOf(batch.direction)
    return { direction: name, seed: batch.seed, tables: 0, blocks: 0, redone: 0, refused: {}, milliseconds: 0, failure: { message: `the process ended with ${String(code ?? signal)}`, folder: '(no files)', replay: `npm run fuzz -- --directions ${name} --seed ${batch.seed} --tables ${batch.tables} --workers 1${batch.nested ? ' --nested' : ''}` } }
  })
  // Whichever loses the race is stopped.
  died.catch(() => {})
  const result = await Promise.race([once(worker, 'message', { signal: stop.signal }).then(([message]) => message as BatchResult), died])
  stop.abort()
  return result
}

async function replay (text: string, nested: boolean, out: string): Promise<number> {
  const [name, seed, ...path] = text.split(':')
  const direction = DIRECTIONS.find(candidate => nameOf(candidate) === name)
  if (direction == null || !Number.isSafeInteger(Number(seed))) {
    console.error('usage: npm run fuzz -- --replay DIRECTION:SEED:PATH [--nested]')
    return 2
  }
  const { failure } = await runBatch({ direction, seed: Number(seed), tables: BATCH_TABLES, nested, out, path: path.join(':') })
  console.log(failure == null ? 'it holds' : `${failure.message}\n  ${failure.folder}`)
  return failure == null ? 0 : 1
}

function report (results: BatchResult[], seconds: number): void {
  const sum = (of: (result: BatchResult) => number, list = results): number => list.reduce((total, result) => total + of(result), 0)
  console.log(`\n${'direction'.padEnd(16)}${'tables'.padStart(8)}${'equal'.padStart(8)}${'refused'.padStart(9)}${'blocks'.padStart(8)}${'redone'.padStart(8)}${'ms/table'.padStart(10)}${'failures'.padStart(10)}`)
  for (const direction of new Set(results.map(result => result.direction))) {
    const list = results.filter(result => result.direction === direction)
    const [tables, refused] = [sum(({ tables }) => tables, list), sum(result => Object.values(result.refused).reduce((a, b) => a + b, 0), list)]
    const failures = list.filter(({ failure }) => failure != null).length
    console.log(`${direction.padEnd(16)}${String(tables).padStart(8)}${String(tables - refused).padStart(8)}${String(refused).padStart(9)}${String(sum(({ blocks }) => blocks, list)).padStart(8)}${String(sum(({ redone }) => redone, list)).padStart(8)}${(sum(({ milliseconds }) => milliseconds, list) / Math.max(1, tables)).toFixed(1).padStart(10)}${String(failures).padStart(10)}`)
  }
  const reasons = new Map<string, number>()
  for (const { refused } of results) for (const [reason, count] of Object.entries(refused)) reasons.set(reason, (reasons.get(reason) ?? 0) + count)
  for (const [reason, count] of [...reasons].toSorted((a, b) => b[1] - a[1]).slice(0, 20)) console.log(`refused ${count}: ${reason}`)
  console.log(`${sum(({ tables }) => tables)} tables in ${seconds.toFixed(1)} s, ${results.filter(({ failure }) => failure != null).length} batches with a failure`)
}
