/** Cuts CSV files into blocks: a header line of our own, then a byte range of whole records. */
import { CsvScanner } from './scan.ts'
import { columnNames, headerLine, parseRecords } from './dialect.ts'
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockTarget, Input } from '../../index.ts'
import type { Dialect, TableParameters } from '../schema.ts'
import { splitText } from '../text-split.ts'

/**
 * Yields blocks of about `target.bytes` (at least one record each), every field proved to be an exact value of its column's type.
 * Throws ConversionError `contradiction`, `bad-input`, `unsupported` (inputs with different columns) or `input-changed`.
 */
export function splitCsv (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  if (params.source.format !== 'csv') throw new ConversionError('bad-parameters', 'source.format must be csv for a CSV input', { key: 'source.format' })
  const { dialect } = params.source
  const { columns } = params
  return splitText(inputs, target, {
    prefix: dialect.header ? headerLine(columns, dialect) : new Uint8Array(0),
    scanner: input => new CsvScanner({ columns, dialect, path: input.path, line: 1 }),
    preamble: (input, bytes, from, end, last) => {
      if (last && from >= end) throw emptyCsv(input.path)
      if (!dialect.header) return { next: from, lines: 0 }
      // The header has as many fields as there are columns, and its fields are text.
      const text = columns.map(({ name }) => ({ name, type: 'VARCHAR' }))
      const scanner = new CsvScanner({ columns: text, dialect, path: input.path, line: 1 })
      let next = from
      let before = from
      // Blank lines before the header end a scan without giving a record.
      while (scanner.records === 0) {
        before = next
        next = scanner.scan(bytes, before, end, before + 1, last)
        if (next === before) return last ? fail(input.path) : { next: -1, lines: 0 }
      }
      requireSameColumns(input, Buffer.from(bytes.subarray(before, next)).toString('utf8'), dialect, params)
      return { next, lines: scanner.line - 1 }
    }
  })
}

function fail (path: string): never {
  throw emptyCsv(path)
}

export function emptyCsv (path: string): ConversionError {
  return new ConversionError('bad-input', `'${path}' is empty: no header; give a file with at least a header line`, { path })
}

function requireSameColumns (input: Input, header: string, dialect: Dialect, params: TableParameters): void {
  const names = columnNames(parseRecords(header, dialect, { columns: params.columns.length })[0] ?? [])
  const at = names.findIndex((name, i) => name !== params.columns[i]!.name)
  if (at < 0) return
  throw new ConversionError('unsupported',
    `'${input.path}' has column '${names[at]}' where '${params.columns[at]!.name}' is expected; inputs of one output need the same header`,
    { path: input.path, column: names[at], expected: params.columns[at]!.name })
}
