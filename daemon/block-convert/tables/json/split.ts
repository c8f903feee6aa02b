/** Cuts NDJSON files into blocks: a byte range of whole lines. */
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockTarget, Input } from '../../index.ts'
import { NdjsonScanner } from './scan.ts'
import type { TableParameters } from '../schema.ts'
import { splitText } from '../text-split.ts'

/**
 * Yields blocks of about `target.bytes` (at least one line each), every value proved against its column's type. An empty
 * input has no rows. Throws ConversionError `contradiction`, `bad-input`, `unsupported` or `input-changed`.
 */
export function splitNdjson (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  if (params.source.format !== 'ndjson') throw new ConversionError('bad-parameters', 'source.format must be ndjson for an NDJSON input', { key: 'source.format' })
  return splitText(inputs, target, {
    prefix: new Uint8Array(0),
    scanner: input => new NdjsonScanner({ columns: params.columns, path: input.path, line: 1 }),
    preamble: (_input, _bytes, from) => ({ next: from, lines: 0 })
  })
}
