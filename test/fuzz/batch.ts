/** Some tables of one direction from one seed; the first failure is shrunk and kept as files. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { cases, describe, nameOf, roundTrip, type Case, type CaseOptions, type Direction } from './law.ts'

export interface Batch extends CaseOptions {
  direction: Direction
  seed: number
  tables: number
  /** Where a failure's files are kept. */
  out: string
  /** fast-check's path to one table of the seed: only that one is run. */
  path?: string
}

export interface BatchResult {
  direction: string
  seed: number
  tables: number
  blocks: number
  redone: number
  /** Refusals by the rules, by message with names left out. */
  refused: Record<string, number>
  milliseconds: number
  failure?: { message: string, folder: string, replay: string }
}

/** A failure is shrunk for so long, milliseconds: each attempt costs tens of them. */
const SHRINK_MS = 60_000

export async function runBatch ({ direction, seed, tables, nested, late, out, path }: Batch): Promise<BatchResult> {
  const result: BatchResult = { direction: nameOf(direction), seed, tables: 0, blocks: 0, redone: 0, refused: {}, milliseconds: 0 }
  const started = performance.now()
  let failed = false
  const property = fc.asyncProperty(cases(direction, { nested, late }), async table => {
    try {
      const outcome = await roundTrip(direction, table)
      if (failed) return
      result.tables++
      if (outcome.outcome === 'equal') {
        result.blocks += outcome.blocks
        result.redone += outcome.redone
      } else {
        const kind = `${outcome.code}: ${outcome.message.replaceAll(/'[^']*'|"(?:[^"\\]|\\.)*"/g, '…').slice(0, 120)}`
        result.refused[kind] = (result.refused[kind] ?? 0) + 1
      }
    } catch (error) {
      failed = true
      throw error
    }
  })
  const details = await fc.check<[Case]>(property, { seed, numRuns: tables, interruptAfterTimeLimit: SHRINK_MS, ...(path != null ? { path } : {}) })
  result.milliseconds = performance.now() - started
  if (details.failed && details.counterexample != null) {
    const [smallest] = details.counterexample
    const folder = join(out, `${result.direction}-${seed}${nested ? '-nested' : ''}`)
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const message = await roundTrip(direction, smallest, folder).then(() => `it did not fail again: ${String(details.errorInstance)}`, error => `${(error as Error).name}: ${(error as Error).message}`)
    const replay = `npm run fuzz -- --replay ${result.direction}:${seed}:${details.counterexamplePath ?? ''}${nested ? ' --nested' : ''}`
    await writeFile(join(folder, 'README'), `${message}\n${replay}\n\n${describe(direction, smallest)}`)
    result.failure = { message, folder, replay }
  }
  return result
}
