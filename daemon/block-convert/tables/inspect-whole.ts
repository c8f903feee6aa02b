/**
 * The check of a whole output before it is renamed: the same as of one result (inspect.ts), against the total of rows. Parquet
 * costs its footer and one read per page; a text is read once, at several hundred megabytes per second.
 */
import { ConversionError } from '../errors.ts'
import { inspectForm } from './inspect.ts'
import type { TableParameters } from './schema.ts'

/** @throws ConversionError `bad-input` saying what is wrong */
export async function inspectWholeTable (path: string, expected: { units?: number, blocks: number }, params: TableParameters): Promise<{ units: number }> {
  const found = await inspectForm({ path, size: 0 }, params, true)
  if (expected.units != null && found.units !== expected.units) {
    throw new ConversionError('bad-input', `the output has ${found.units} rows instead of ${expected.units}`, { rows: found.units, expected: expected.units })
  }
  if (expected.blocks === 0 && found.units > 0) throw new ConversionError('bad-input', `the output has ${found.units} rows, but there were no blocks`)
  return found
}
