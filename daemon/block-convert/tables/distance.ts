/** The full comparison of a result with its source: every value of every row, in order, by readers of our own. */
import { ConversionError } from '../errors.ts'
import type { BlockRecipe, BlockSource, Distance } from '../index.ts'
import { withoutNonfinite } from './json/nonfinite.ts'
import { readBatches, type Batch } from './readers/index.ts'
import type { TableParameters } from './schema.ts'
import { parseType } from './types.ts'
import { firstDifference, showValue } from './values.ts'

/**
 * Value 0 if both are the same rows, 1 at the first difference: a value, a row too many or too few, or a result that cannot
 * be read. `compared` counts the rows found equal.
 *
 * @throws ConversionError if the *original* cannot be read: it contradicts its schema or is malformed, which is not the result's fault
 */
export async function tableDistance (original: BlockSource, result: BlockSource, recipe: BlockRecipe, params: TableParameters): Promise<Distance> {
  const { columns } = params
  const wanted = sourceBatches(original, recipe, params)
  const given = readBatches(result, params.target, columns, { side: 'result' })
  const kinds = columns.map(column => parseType(column.type).kind)
  let compared = 0
  try {
    for (;;) {
      const a = wanted.next().value as Batch | undefined
      let b: Batch | undefined
      try {
        b = given.next().value as Batch | undefined
      } catch (error) {
        // a file that cannot be opened is nobody's wrong result
        if (!(error instanceof ConversionError) || error.code === 'input-unreadable') throw error
        return { value: 1, compared, difference: `the result cannot be read: ${error.message}` }
      }
      if (a == null && b == null) return { value: 0, compared }
      const common = Math.min(a?.rows ?? 0, b?.rows ?? 0)
      let row = common
      let at = -1
      for (let column = 0; column < columns.length && a != null && b != null; column++) {
        const index = firstDifference(kinds[column]!, a.columns[column]!, b.columns[column]!, 0, row)
        if (index >= 0) {
          row = index
          at = column
        }
      }
      compared += row
      if (at >= 0) {
        const { name, type } = columns[at]!
        const was = showValue(a!.columns[at]![row], type)
        const is = showValue(b!.columns[at]![row], type)
        return { value: 1, compared, difference: `row ${compared + 1}, column ${JSON.stringify(name)}: ${was} became ${is}` }
      }
      if (a?.rows !== b?.rows) {
        const missing = (b?.rows ?? 0) < (a?.rows ?? 0)
        return { value: 1, compared, difference: missing ? `the result ends after ${compared} rows, the source goes on` : `the result goes on after the source's ${compared} rows` }
      }
    }
  } finally {
    wanted.return(undefined)
    given.return(undefined)
  }
}

/** A block's own rows, by our readers, as the target has them. Throws ConversionError, marked by `asOriginal`. */
export function * sourceBatches (original: BlockSource, recipe: BlockRecipe, params: TableParameters): Generator<Batch> {
  try {
    yield * ownBatches(original, recipe, params)
  } catch (error) {
    throw asOriginal(error)
  }
}

function ownBatches (original: BlockSource, recipe: BlockRecipe, params: TableParameters): Generator<Batch> {
  const rows = (recipe.slice?.rows ?? params.rows) as [number, number] | undefined
  const batches = readBatches(original, params.source, params.columns, { rows, present: params.present, side: 'source', firstLine: recipe.origin.line })
  return 'nonfinite' in params.target && params.target.nonfinite === 'null' ? withoutNonfinite(batches, params.columns) : batches
}

/** Marks what the original is to blame for (`original` among the details), so that nobody takes it for the result's fault. */
export function asOriginal (error: unknown): unknown {
  return error instanceof ConversionError ? new ConversionError(error.code, error.message, { ...error.details, original: true }) : error
}
