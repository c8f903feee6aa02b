/** The columns of many CSV inputs as one table: united by name, in order of first appearance; what an input lacks is missing in its rows. */
import { columnNames, type Field } from './dialect.ts'
import type { Note } from '../../index.ts'
import { ColumnEvidence } from '../infer.ts'
import type { Column } from '../schema.ts'

/** Inputs, and columns of each, that a note names; the rest is counted. */
const TOLD_MAX = 5

/** Characters of a name in a note. */
const NAME_CHARS_MAX = 60

export class Union {
  readonly #names: string[] = []
  readonly #evidence: ColumnEvidence[] = []
  readonly #positions = new Map<string, number>()
  /** Which columns each kind of input has, and the inputs of that kind. */
  readonly #kinds = new Map<string, { positions: number[], paths: string[], count: number }>()
  /** What was renamed, in words, and the inputs it was renamed in. */
  readonly #renamed = new Map<string, { path: string, count: number, columns: string[] }>()
  /** Names taken for those of columns that differ in case only. */
  readonly #matched = new Map<string, string>()

  get size (): number {
    return this.#names.length
  }

  /** Whether all the fields of a header are names of columns (true), some (false), or none (undefined). */
  knows (header: Field[]): boolean | undefined {
    const known = columnNames(header).filter(name => this.#positions.has(name.toLowerCase())).length
    return known === header.length ? true : known > 0 ? false : undefined
  }

  /** Adds an input by its header, or by its number of columns; gives what is known of their values. */
  add (path: string, header: Field[] | number): ColumnEvidence[] {
    const names = typeof header === 'number' ? Array.from({ length: header }, (_, i) => `column_${i + 1}`) : columnNames(header)
    if (typeof header !== 'number') this.#tellRenamed(path, header, names)
    const positions = names.map(name => {
      let position = this.#positions.get(name.toLowerCase())
      if (position == null) {
        position = this.#names.length
        this.#positions.set(name.toLowerCase(), position)
        this.#names.push(name)
        this.#evidence.push(new ColumnEvidence())
      } else if (this.#names[position] !== name && this.#matched.size < TOLD_MAX) this.#matched.set(name, this.#names[position]!)
      return position
    })
    const key = positions.join(' ')
    const kind = this.#kinds.get(key)
    if (kind == null) this.#kinds.set(key, { positions, paths: [path], count: 1 })
    else {
      kind.count++
      if (kind.paths.length < TOLD_MAX) kind.paths.push(path)
    }
    return positions.map(position => this.#evidence[position]!)
  }

  columns (complete: boolean, text: boolean): Column[] {
    return this.#names.map((name, i) => ({ name, type: text ? 'VARCHAR' : this.#evidence[i]!.type(complete) }))
  }

  notes (): Note[] {
    const notes: Note[] = []
    for (const [what, { path, count, columns }] of [...this.#renamed].slice(0, TOLD_MAX)) {
      notes.push({ code: 'columns-renamed', message: `'${path}'${count > 1 ? ` and ${count - 1} more inputs` : ''}: ${what}`, input: path, columns, count: columns.length })
    }
    const lacking = [...this.#kinds.values()].filter(({ positions }) => positions.length < this.#names.length)
    if (lacking.length > 0) {
      const count = lacking.reduce((sum, kind) => sum + kind.count, 0)
      const told = lacking.slice(0, TOLD_MAX).map(({ positions, paths, count }) => {
        const has = new Set(positions)
        const missing = this.#names.filter((_, i) => !has.has(i))
        return `'${paths[0]}'${count > 1 ? ` and ${count - 1} more` : ''} without ${list(missing)}`
      })
      const rest = lacking.length - told.length
      notes.push({ code: 'columns-united', message: `columns were united by name, missing ones are empty: ${told.join('; ')}${rest > 0 ? `; and ${rest} more kinds of inputs` : ''}`, count })
    }
    if (this.#matched.size > 0) {
      const pairs = [...this.#matched].map(([name, known]) => `${quoted(name)} is taken for ${quoted(known)}`)
      notes.push({ code: 'columns-matched', message: `names that differ only in case are one column: ${pairs.join(', ')}`, columns: [...this.#matched.values()] })
    }
    return notes
  }

  #tellRenamed (path: string, header: Field[], names: string[]): void {
    const changed = names.flatMap((name, i) => name === header[i] ? [] : [i])
    if (changed.length === 0) return
    const told = changed.slice(0, TOLD_MAX).map(i => header[i] == null || header[i] === '' ? `column ${i + 1} has no name and is called ${quoted(names[i]!)}` : `the name ${quoted(header[i])} occurs again, column ${i + 1} is called ${quoted(names[i]!)}`)
    const what = told.join('; ') + (changed.length > told.length ? `; and ${changed.length - told.length} more` : '')
    const known = this.#renamed.get(what)
    if (known != null) known.count++
    else if (this.#renamed.size < TOLD_MAX) this.#renamed.set(what, { path, count: 1, columns: told.map((_, k) => names[changed[k]!]!) })
  }
}

function quoted (name: string): string {
  return `'${name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX)}...` : name}'`
}

function list (names: string[]): string {
  const rest = names.length - TOLD_MAX
  return names.slice(0, TOLD_MAX).map(quoted).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
