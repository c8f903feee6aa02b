/**
 * How fast this machine converts, found by converting: a small generated table goes through every converter of which nothing is known yet, one
 * after another and only while nothing else runs. Real work refines the figures from then on (throughput.ts), and they are kept across restarts.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Converter, Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { Executor, Workspace } from './index.ts'
import type { MeasuredExecutor } from './throughput.ts'

/** Rows of the generated table: some 1 MB, so that the start of an engine is a small part of what is measured, and all converters take seconds. */
const ROWS = 16_000

/** Runs of each converter, of which the fastest counts: the first one often starts an engine process. */
const RUNS = 2

/** Milliseconds between looks whether the node is idle: its own work goes first. */
const IDLE_LOOK_MS = 1_000

export interface SelfMeasureComponents {
  toolbox: Pick<Toolbox, 'describe' | 'prepare' | 'release' | 'split' | 'materialise' | 'output'>
  /** Runs the engines; not the measured one, for which a cold start would be a throughput. */
  executor: Executor
  /** Told what was found. */
  measured: Pick<MeasuredExecutor, 'throughput' | 'seed'>
  log: Log
}

/** A table as people have them: numbers, decimals, dates, words that repeat and words that do not. The same on every machine. */
export function sampleTable (rows = ROWS): string {
  const lines = ['id,when,place,amount,rating,remark']
  for (let i = 0; i < rows; i++) {
    const mixed = Math.imul(i + 1, 2_654_435_761) >>> 0
    const day = new Date(Date.UTC(2020, 0, 1 + i % 1461)).toISOString().slice(0, 10)
    lines.push(`${i},${day},place-${mixed % 97},${(mixed % 1_000_000) / 100},${((mixed >>> 7) % 1000) / 7},"remark ${mixed.toString(36)}, of ${i % 13}"`)
  }
  return `${lines.join('\n')}\n`
}

/**
 * Measures those of `converters` whose throughput is 0, as far as one can get from the generated table; resolves to how many were. What fails is
 * logged and left unmeasured. Ends early, without an error, when the signal fires.
 */
export async function selfMeasure (components: SelfMeasureComponents, converters: Converter[], { signal }: { signal: AbortSignal }): Promise<number> {
  const { executor, log, measured } = components
  const wanted = new Set(converters.filter(({ id, runs }) => runs === 'process' && measured.throughput(id) === 0))
  if (wanted.size === 0) return 0
  const workspace = await executor.workspace()
  try {
    const table = join(workspace.path, 'sample.csv')
    await writeFile(table, sampleTable(), { mode: 0o600 })
    // By media type; what one converter wrote is the input of others.
    const files = new Map([['text/csv', table], ['application/octet-stream', table]])
    let count = 0
    for (let next = reachable(wanted, files); next != null && !signal.aborted; next = reachable(wanted, files)) {
      wanted.delete(next)
      await idle(executor, signal)
      if (signal.aborted) break
      try {
        const output = await convert(components, next, files.get(next.from) as string, workspace, signal)
        if (!files.has(next.to)) files.set(next.to, output)
        count++
      } catch (error) {
        if (!signal.aborted) log.warn({ converter: next.id, reason: (error as Error).message }, 'a converter could not be measured')
      }
    }
    return count
  } finally {
    await workspace.dispose()
  }
}

/** One that leads to a new type first: others may start from what it writes. */
function reachable (wanted: Set<Converter>, files: Map<string, string>): Converter | undefined {
  const ready = [...wanted].filter(({ from }) => files.has(from))
  return ready.find(({ to }) => !files.has(to)) ?? ready[0]
}

async function idle (executor: Executor, signal: AbortSignal): Promise<void> {
  while (executor.busy > 0 && !signal.aborted) await new Promise(resolve => setTimeout(resolve, IDLE_LOOK_MS).unref())
}

/** The whole file as one block, like any other; gives the path of what it became. */
async function convert ({ toolbox, executor, measured }: SelfMeasureComponents, { id, from, to }: Converter, path: string, home: Workspace, signal: AbortSignal): Promise<string> {
  const prepared = await toolbox.prepare([await toolbox.describe(path, from)], to, {})
  const { conversion, inputs } = prepared
  const workspace = await executor.workspace()
  try {
    if (conversion.converter.id !== id) throw new Error(`${from} becomes ${to} by ${conversion.converter.id}`)
    const block = join(workspace.path, 'input')
    await mkdir(join(home.path, 'made'), { recursive: true })
    const made = join(home.path, 'made', id.replaceAll('/', '-'))
    const output = await toolbox.output(made, conversion, { overwrite: false })
    try {
      let parameters = conversion.parameters
      let blocks = 0
      for await (const { recipes, widen } of toolbox.split(inputs, conversion, { bytes: Number.MAX_SAFE_INTEGER }, { signal })) {
        if (widen != null) throw new Error('the generated table contradicts its own samples')
        for (const recipe of recipes) {
          if (blocks++ > 0) throw new Error('the generated table became several blocks')
          parameters = { ...parameters, ...recipe.slice }
          await toolbox.materialise(inputs, recipe, block)
          const runs = []
          for (let run = 0; run < RUNS; run++) {
            const outcome = await executor.run({ converter: id, version: conversion.converter.version, parameters, input: { path: block, size: recipe.size }, workspace }, { signal })
            if (!outcome.ok) throw new Error(outcome.message)
            runs.push(outcome)
          }
          const fastest = runs.toSorted((a, b) => a.wallMs - b.wallMs)[0]!
          measured.seed(id, recipe.size * 1000 / Math.max(1, fastest.wallMs))
          await output.add([fastest.output])
        }
      }
      await output.finish({ blocks })
      await output.commit()
      return made
    } catch (error) {
      await output.abort()
      throw error
    }
  } finally {
    await workspace.dispose()
    await toolbox.release(prepared)
  }
}
