/**
 * Compares two tables (CSV, NDJSON, JSON, Parquet or Arrow) row by row with readers that are independent of the engine that converts:
 * `npm run compare -- A B` prints how many rows are equal, or the first difference (exit 1). Exit 2 if one
 * of them cannot be read.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createToolbox, type BlockRecipe, type Input } from '../daemon/block-convert/index.ts'

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
    // What is compressed is decoded into the scratch folder; a setting for tables says that more than its bytes are meant.
    const decode = ({ encoding }: Input): Record<string, string> => encoding == null ? {} : { types: 'auto' }
    const decoded = result.encoding == null ? result : (await toolbox.prepare([result], result.mediaType, decode(result))).inputs[0]!
    const { conversion, inputs } = await toolbox.prepare([original], result.mediaType, decode(original))
    let { parameters } = conversion
    const recipes: BlockRecipe[] = []
    for await (const batch of toolbox.split(inputs, conversion, { bytes: Number.MAX_SAFE_INTEGER }, { signal: new AbortController().signal })) {
      if (batch.widen != null) parameters = { ...parameters, ...batch.widen }
      recipes.push(...batch.recipes)
    }
    if (recipes.length > 1) throw new Error(`'${a}' is too large to be compared at once: it takes ${recipes.length} blocks`)
    const [whole] = recipes
    if (whole == null) return { rows: 0 }
    const { value, compared, difference } = await toolbox.distance(inputs, { ...whole, slice: { ...whole.slice, ...(parameters.types == null ? {} : { types: parameters.types }) } }, { path: decoded.path, size: decoded.size }, { ...conversion, parameters })
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
