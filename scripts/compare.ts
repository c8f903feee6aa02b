/**
 * Compares two tables (CSV, NDJSON or Parquet) row by row with readers that are independent of the engine that converts:
 * `npm run compare -- A B` prints how many rows are equal, or the first difference (exit 1). Exit 2 if one
 * of them cannot be read.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createToolbox } from '../daemon/block-convert/index.ts'

export interface Comparison {
  rows: number
  /** The first difference in words; undefined if the tables hold the same data in the same order. */
  difference?: string
}

/** The types are those that a conversion of `a` into `b`'s format decides, proved for every value while it is read. */
export async function compareTables (a: string, b: string): Promise<Comparison> {
  const scratch = await mkdtemp(join(tmpdir(), 'weft-compare-'))
  const toolbox = createToolbox({ scratch, threads: 1 })
  try {
    const [original, result] = [await toolbox.describe(a), await toolbox.describe(b)]
    const prepared = await toolbox.prepare([original], result.mediaType, {})
    const { conversion } = prepared
    const whole = { index: 0, parts: [{ input: 0, offset: 0, length: original.size }], size: original.size, digest: (await toolbox.hash(a)).digest, origin: { input: 0, line: 1 } }
    const { value, compared, difference } = await toolbox.distance([original], whole, { path: b, size: result.size }, conversion)
    return { rows: compared, ...(value === 0 ? {} : { difference: difference ?? 'they differ' }) }
  } finally {
    await toolbox.close()
    await rm(scratch, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const [a, b] = process.argv.slice(2)
  if (a == null || b == null) {
    console.error('usage: npm run compare -- A B')
    process.exit(2)
  }
  try {
    const { rows, difference } = await compareTables(resolve(a), resolve(b))
    console.log(difference == null ? `equal: ${rows} rows` : `different: ${difference}`)
    process.exitCode = difference == null ? 0 : 1
  } catch (error) {
    console.error(`cannot compare: ${(error as Error).message}`)
    process.exitCode = 2
  }
}
