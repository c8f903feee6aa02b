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
  const fine = new Set<string>()
  const first = unite(inputs, fine, true)
  // What the first inputs were thought to be has to be thought again in the light of the last.
  const { columns, notes } = first.late ? unite(inputs, fine, false) : first
  return { columns, notes }
}

/**
 * `fine`: paths of leaves that hold finer digits in some input than their type; `probe` adds to them. `late`: one was found when other
 * inputs had been united already.
 */
function unite (inputs: Input[], fine: Set<string>, probe: boolean): { columns: Column[], notes: Note[], late: boolean } {
  const union = new ColumnUnion()
  const zoneless = new Remark()
  const cut = new Remark()
  const empty = new Remark()
  const utc = new Remark()
  const geo: string[] = []
  let late = false
  for (const [i, { path }] of inputs.entries()) {
    const file = new RandomAccess({ path, size: 0 })
    try {
      const footer = readFooter(file)
      const columns = readColumns(footer, path)
      for (const column of columns) {
        for (const [l, leaf] of column.leaves.entries()) {
          if (leaf.nothing) empty.add(column.name)
          if (leaf.utc) utc.add(column.name)
          if (!mayLoseDigits(leaf)) continue
          if (probe && !fine.has(leaf.path) && losesDigits(file, footer, column, l)) {
            fine.add(leaf.path)
            late ||= i > 0
          }
          if (!fine.has(leaf.path)) continue
          if (leaf.parsed.kind === 'TIMESTAMPTZ') {
            keepNanoseconds(column, leaf)
            zoneless.add(column.name)
          } else cut.add(column.name)
        }
      }
      // Not yet: types that are about to change might not go together.
      if (!late) union.add(path, columns.map(column => ({ name: column.name, type: column.type, ...(holdsNothing(column) ? { nothing: true } : {}) })))
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
  return { columns: union.columns, notes, late }
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
