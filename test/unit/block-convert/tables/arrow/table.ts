/** Whole random tables in whole random files, and what a reader must give for them. */
import { Int16, Int32, Int8, MetadataVersion, Uint8, type Field } from 'apache-arrow'
import fc from 'fast-check'
import { canonical, dictionaryKind, field, listKind, mapKind, nothing, scalars, structKind, type Cell, type Kind } from './columns.ts'
import { ipc, type IpcOptions, type RawColumn, type RawMessage } from './ipc.ts'

export interface TableCase {
  names: string[]
  kinds: Kind[]
  /** Rows of each record batch, column by column. */
  batches: Cell[][][]
  options: IpcOptions
  bytes: Uint8Array
  /** A failure is printed as a file to look at. */
  [fc.toStringMethod]: () => string
}

const isDictionary = (kind: Kind): kind is Kind & { dictionary: Kind, id: number } => 'dictionary' in kind
const find = (name: string): Kind => scalars.find(kind => kind.name === name)!

/** Kinds that may stand anywhere. */
const simple = fc.constantFrom(...scalars)
/** What decides between two types is looked for in whole columns, and a type inside of others is one for all. */
const plain = fc.constantFrom(...scalars.filter(kind => !/^date64|ns, zone|inexact/.test(kind.name)))
const inner = fc.oneof({ weight: 5, arbitrary: plain }, { weight: 1, arbitrary: plain.map(kind => listKind(kind, 'list')) }, { weight: 1, arbitrary: plain.map(kind => structKind([kind])) })

export const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 8, arbitrary: simple },
  { weight: 1, arbitrary: fc.constant(nothing) },
  { weight: 2, arbitrary: fc.tuple(inner, fc.constantFrom('list', 'largeList', 'fixed')).map(([element, form]) => listKind(element, form as 'list')) },
  { weight: 2, arbitrary: fc.array(inner, { minLength: 1, maxLength: 3 }).map(structKind) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(find('utf8'), find('int32'), find('date32')), inner).map(([key, element]) => mapKind(key, element)) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...scalars.filter(scalar => scalar.extension == null)), fc.nat(3)).map(([values, i]) => dictionaryKind(values, 0, [new Int8(), new Uint8(), new Int16(), new Int32()][i]!)) }
)

export const options: fc.Arbitrary<IpcOptions> = fc.record({
  container: fc.constantFrom('file', 'stream'),
  codec: fc.constantFrom(undefined, undefined, 'zstd', 'lz4', 'stored'),
  legacy: fc.constantFrom(false, false, true),
  version: fc.constantFrom(undefined, MetadataVersion.V4),
  end: fc.boolean(),
  alignment: fc.constantFrom(8, 64)
})

export function tableCase (rows = 12): fc.Arbitrary<TableCase> {
  return fc.array(kind, { minLength: 1, maxLength: 4 }).chain(kinds => fc.record({
    batches: fc.array(fc.array(fc.tuple(...kinds.map(each => fc.option(each.cell, { freq: 4 }))), { maxLength: rows }), { maxLength: 4 }),
    options,
    delta: fc.boolean()
  }).map(({ batches, options, delta }) => build(kinds.map((each, i) => isDictionary(each) ? dictionaryKind(each.dictionary, i, (each.type as unknown as { indices: Int8 }).indices) : each), batches, options, delta)))
}

export function fieldsOf (names: string[], kinds: Kind[]): Field[] {
  return kinds.map((each, i) => field(names[i]!, each))
}

/** `delta`: dictionaries of later record batches add to those before (as files must), or else replace them. */
export function build (kinds: Kind[], rows: Cell[][][], options: IpcOptions, delta: boolean): TableCase {
  const names = kinds.map((_, i) => `c ${i}`)
  const batches = rows.map(batch => kinds.map((_, i) => batch.map(row => row[i] ?? null)))
  const known = new Map<number, number>()
  const messages: RawMessage[] = batches.flatMap(columns => {
    const before: RawMessage[] = []
    const stored = kinds.map((each, i): RawColumn => {
      if (!isDictionary(each)) return each.store(columns[i]!)
      const values = columns[i]!.filter(cell => cell != null)
      const adds = known.has(each.id) && (delta || options.container === 'file')
      const offset = adds ? known.get(each.id)! : 0
      known.set(each.id, offset + values.length)
      before.push({ id: each.id, delta: adds, column: each.dictionary.store(values) })
      return indicesOf(columns[i]!, offset, (each.type as unknown as { indices: Int8 }).indices)
    })
    return [...before, { rows: columns[0]!.length, columns: stored }]
  })
  const bytes = ipc(fieldsOf(names, kinds), messages, options)
  const toString = (): string => `${kinds.map(({ name }) => name).join(', ')}; ${fc.stringify(options)}; ${fc.stringify(batches)}; base64 ${Buffer.from(bytes).toString('base64')}`
  return { names, kinds, batches, options, bytes, [fc.toStringMethod]: toString }
}

function indicesOf (cells: Cell[], offset: number, type: { bitWidth: number }): RawColumn {
  const width = type.bitWidth / 8
  const view = new DataView(new ArrayBuffer(cells.length * width))
  const valid = cells.map(cell => cell != null)
  let index = offset
  cells.forEach((cell, i) => {
    const at = cell == null ? 77 : index++
    if (width === 1) view.setUint8(i, at)
    else if (width === 2) view.setInt16(i * 2, at, true)
    else view.setInt32(i * 4, at, true)
  })
  const nulls = valid.filter(set => !set).length
  const bits = new Uint8Array(Math.ceil(cells.length / 8))
  valid.forEach((set, i) => { if (set) bits[i >> 3]! |= 1 << (i & 7) })
  return { rows: cells.length, nulls, buffers: [nulls === 0 ? new Uint8Array(0) : bits, new Uint8Array(view.buffer)], children: [] }
}

/** Rows as the readers give them. */
export function expectedRows ({ kinds, batches }: TableCase): unknown[][] {
  return batches.flatMap(columns => columns[0]!.map((_, row) => kinds.map((_, i) => canonical(columns[i]![row]!))))
}
