/** The always-on check of one result. What it proves is said in parquet/inspect.ts and text-inspect.ts. */
import { ConversionError } from '../errors.ts'
import { targetFormat } from './formats.ts'
import type { BlockRecipe, BlockSource } from '../index.ts'
import type { TableParameters } from './schema.ts'

/**
 * Checks structure, schema and row count of a result, and gives its rows.
 *
 * @throws ConversionError `bad-input` saying what is wrong
 */
export async function inspectTable (result: BlockSource, recipe: BlockRecipe, params: TableParameters): Promise<{ units: number }> {
  const found = await inspectForm(result, params, false, recipe.size)
  if (recipe.units != null && found.units !== recipe.units) {
    throw new ConversionError('bad-input', `the result has ${found.units} rows instead of ${recipe.units}`, { rows: found.units, expected: recipe.units })
  }
  return found
}

/** The check without a count to compare with; `whole`: of the merged output; `blockBytes` bounds a compressed part (encoded.ts). */
export async function inspectForm (source: BlockSource, params: TableParameters, whole: boolean, blockBytes?: number): Promise<{ units: number }> {
  try {
    const format = await targetFormat(params.target.format)
    const encoding = 'encoding' in params.target ? params.target.encoding : undefined
    if (encoding == null) return await format.inspect(source, params, whole)
    const { inspectEncoded } = await import('./encoded.ts')
    return await inspectEncoded(source, params, whole, async (plain, inner) => await format.inspect(plain, inner, whole), blockBytes)
  } catch (error) {
    // what we cannot represent is nothing that a converter of ours may give
    if (error instanceof ConversionError && error.code === 'unsupported') throw new ConversionError('bad-input', error.message, error.details)
    throw error
  }
}
