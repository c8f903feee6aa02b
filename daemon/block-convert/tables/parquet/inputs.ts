/** Parquet files as inputs: their columns united, and what is to be told about them. */
import type { Input, Note } from '../../index.ts'
import { FILE, readFooter, type Footer } from './footer.ts'
import { getField, type ThriftList, type ThriftStruct } from './thrift.ts'
import { keepNanoseconds, losesDigits, mayLoseDigits } from './nanoseconds.ts'
import { RandomAccess } from '../random-access.ts'
import { readColumns, type ParquetColumn } from './schema.ts'
import type { Column } from '../schema.ts'
import { ColumnUnion } from '../unify.ts'

/** Columns named in one note; more would fill the report. */
const NOTE_COLUMNS_MAX = 20

/** Columns a note speaks of, over all inputs. */
class Remark {
  readonly #columns = new Set<string>()

  add (column: string): void {
    this.#columns.add(column)
  }

  /** `what` is said of "column 'a'" or of "3 columns ('a', 'b', 'c')". */
  note (code: string, what: (subject: string) => string): Note[] {
    if (this.#columns.size === 0) return []
    const names = [...this.#columns].slice(0, NOTE_COLUMNS_MAX)
    const quoted = names.map(name => `'${name}'`).join(', ')
    const subject = this.#columns.size === 1 ? `column ${quoted}` : `${this.#columns.size} columns (${quoted}${this.#columns.size > names.length ? ', ...' : ''})`
    return [{ code, message: what(subject), columns: names }]
  }
}

/**
 * The columns of all inputs, united by name.
 *
 * @throws ConversionError `bad-input`, `unsupported` or `input-unreadable`
 */
export async function prepareParquet (inputs: Input[]): Promise<{ columns: Column[], notes: Note[] }> {
  const union = new ColumnUnion()
  const fine = findFineTimes(inputs)
  const zoneless = new Remark()
  const cut = new Remark()
  const empty = new Remark()
  const utc = new Remark()
  const geo: string[] = []
  for (const { path } of inputs) {
    const file = new RandomAccess({ path, size: 0 })
    try {
      const footer = readFooter(file)
      const columns = readColumns(footer, path)
      for (const column of columns) {
        for (const leaf of column.leaves.filter(leaf => mayLoseDigits(leaf) && fine.has(leaf.path))) {
          if (leaf.parsed.kind === 'TIMESTAMPTZ') {
            keepNanoseconds(column, leaf)
            zoneless.add(column.name)
          } else cut.add(column.name)
        }
      }
      union.add(path, columns.map(column => ({ name: column.name, type: column.type, ...(holdsNothing(column) ? { nothing: true } : {}) })))
      for (const { name, leaves } of columns) {
        if (leaves.some(leaf => leaf.nothing)) empty.add(name)
        if (leaves.some(leaf => leaf.utc)) utc.add(name)
      }
      if (hasMetadata(footer, 'geo')) geo.push(path)
    } finally {
      file.close()
    }
  }
  const notes = union.notes()
  notes.push(...zoneless.note('zone-dropped', subject => `${subject}: timestamps in nanoseconds with a time zone, which microseconds do not hold, are kept as timestamps in UTC without zone`))
  notes.push(...cut.note('times-cut', subject => `${subject}: times are kept to the microsecond, finer digits are cut`))
  notes.push(...empty.note('columns-empty', subject => `${subject}: there is no type and no value; the type is that of the other inputs, or text`))
  notes.push(...utc.note('times-in-utc', subject => `${subject}: times of the day are in UTC and stay so; that they are is not kept`))
  if (geo.length > 0) notes.push({ code: 'metadata-dropped', message: `'${geo[0]}'${geo.length > 1 ? ` and ${geo.length - 1} more inputs` : ''} describe geometry in metadata of their own (GeoParquet), which is not kept; the geometry itself stays bytes (WKB)`, input: geo[0]! })
  return { columns: union.columns, notes }
}

/** Paths of leaves that hold finer digits in some input than their type. */
function findFineTimes (inputs: Input[]): Set<string> {
  const fine = new Set<string>()
  for (const { path } of inputs) {
    const file = new RandomAccess({ path, size: 0 })
    try {
      const footer = readFooter(file)
      for (const column of readColumns(footer, path)) {
        for (const [i, leaf] of column.leaves.entries()) if (mayLoseDigits(leaf) && !fine.has(leaf.path) && losesDigits(file, footer, column, i)) fine.add(leaf.path)
      }
    } finally {
      file.close()
    }
  }
  return fine
}

/** A column without a type holds nothing that could not become anything. */
export function holdsNothing ({ node, leaves }: ParquetColumn): boolean {
  return node.kind === 'leaf' && leaves[0]!.nothing
}

function hasMetadata (footer: Footer, key: string): boolean {
  const list = getField(footer.tree, FILE.keyValues)?.value as ThriftList | undefined
  if (list == null || !Array.isArray(list.values)) return false
  return list.values.some(entry => {
    const name = getField(entry as ThriftStruct, 1)?.value
    return name instanceof Uint8Array && Buffer.from(name).toString('utf8') === key
  })
}
