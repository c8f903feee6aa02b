/** NaN and infinities that a JSON target makes null (`nonfinite=null`): a source's values as the target has them. */
import { hasKind } from './exact.ts'
import type { Batch } from '../readers/batch.ts'
import type { Column } from '../schema.ts'
import { isNested, parseType } from '../types.ts'

/** In the canonical text of a nested value; strings are passed over. */
const TOKENS = /"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g

/** Changes batches in place, and gives them on. */
export function * withoutNonfinite (batches: Generator<Batch>, columns: Column[]): Generator<Batch> {
  const types = columns.map(column => parseType(column.type))
  const floating = types.map(type => hasKind(type, part => part.kind === 'FLOAT' || part.kind === 'DOUBLE'))
  for (const batch of batches) {
    for (const [i, values] of batch.columns.entries()) {
      if (floating[i] !== true) continue
      const nested = isNested(types[i]!)
      for (let row = 0; row < batch.rows; row++) {
        const value = values[row]
        if (nested) {
          if (typeof value === 'string') values[row] = value.replace(TOKENS, token => token.startsWith('"') ? token : 'null')
        } else if (value !== null && !Number.isFinite(value)) values[row] = null
      }
    }
    yield batch
  }
}
