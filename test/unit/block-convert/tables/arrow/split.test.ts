/** How inputs are cut into blocks, and what is told about their columns. */
import assert from 'node:assert/strict'
import { utimes, writeFile } from 'node:fs/promises'
import { DateMillisecond, Field, Float16, Int8, MetadataVersion, Null, Timestamp, TimeUnit, Utf8 } from 'apache-arrow'
import { END_OF_STREAM } from '../../../../../daemon/block-convert/tables/arrow/container.ts'
import { prepareArrow } from '../../../../../daemon/block-convert/tables/arrow/prepare.ts'
import { splitArrow } from '../../../../../daemon/block-convert/tables/arrow/split.ts'
import { ARROW_FILE } from '../../../../../daemon/block-convert/tables/constants.ts'
import { tableConverters } from '../../../../../daemon/block-convert/tables/converters.ts'
import { tables } from '../../../../../daemon/block-convert/tables/index.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import type { BlockRecipe, Input } from '../../../../../daemon/block-convert/index.ts'
import { conversionOf, convertBlocks, rowsOf, splitAll, withFolder, writeInput } from '../cases.ts'
import { dictionaryKind, scalars, type Cell, type Kind } from './columns.ts'
import { ipc } from './ipc.ts'
import { build, fieldsOf } from './table.ts'

const find = (name: string): Kind => scalars.find(kind => kind.name === name)!
const int32 = find('int32')
const number = (value: number): Cell => ({ raw: BigInt(value), value })
const word = (value: string): Cell => ({ raw: Buffer.from(value), value })

/** A file of columns with these names. */
function file (columns: Array<[string, Kind, Cell[]]>): Uint8Array {
  const kinds = columns.map(([, kind]) => kind)
  return ipc(columns.map(([name, kind]) => fieldsOf([name], [kind])[0]!), [{ rows: columns[0]![2].length, columns: kinds.map((kind, i) => kind.store(columns[i]![2])) }], { container: 'file' })
}

async function blocks (inputs: Input[], bytes: number): Promise<BlockRecipe[]> {
  const { columns } = prepareArrow(inputs)
  return await Array.fromAsync(splitArrow(inputs, { columns, source: { format: 'arrow' }, target: { format: 'arrow', container: 'file' } }, { bytes }))
}

describe('arrow: splitting', function () {
  this.timeout(60_000)

  it('gathers small record batches, passes empty ones over, and says where a block begins', async () => withFolder(async folder => {
    const batch = (from: number, count: number): Cell[][] => Array.from({ length: count }, (_, i) => [number(from + i)])
    const table = build([int32], [batch(0, 5), [], batch(5, 5), batch(10, 5), batch(15, 1)], { container: 'stream' }, false)
    const input = await writeInput(folder, 'in.arrows', table.bytes, ARROW_FILE)
    const recipes = await blocks([input, input], 400)
    assert.deepEqual(recipes.map(({ index, units, origin }) => [index, units, origin.input, origin.line]), [[0, 10, 0, 1], [1, 6, 0, 11], [2, 10, 1, 1], [3, 6, 1, 11]])
    assert.deepEqual(recipes.map(({ parts, size }) => parts.reduce((sum, part) => sum + ('bytes' in part ? part.bytes.length : part.length), 0) === size), [true, true, true, true])
    assert.deepEqual(Buffer.from((recipes[0]!.parts.at(-1) as { bytes: Uint8Array }).bytes), END_OF_STREAM)
  }))

  it('begins a block where a dictionary is replaced, and gives each the values it needs', async () => withFolder(async folder => {
    const kind = dictionaryKind(find('utf8'), 0, new Int8())
    const rows = (prefix: string): Cell[][] => Array.from({ length: 10 }, (_, i) => [word(`${prefix} ${i}`)])
    const table = build([kind], [rows('first'), rows('second'), rows('third')], { container: 'stream' }, false)
    const input = await writeInput(folder, 'in.arrows', table.bytes, ARROW_FILE)
    assert.deepEqual((await blocks([input], 1e9)).map(({ units }) => units), [10, 10, 10])
    const added = await writeInput(folder, 'added.arrows', build([kind], [rows('first'), rows('second')], { container: 'file' }, true).bytes, ARROW_FILE)
    assert.deepEqual((await blocks([added], 1e9)).map(({ units }) => units), [20])
  }))

  it('unites inputs by name, with NULL for what one lacks, in the widest of their types', async () => withFolder(async folder => {
    const inputs = await Promise.all([
      writeInput(folder, 'a.arrow', file([['id', find('int8'), [number(1), null]], ['name', find('utf8'), [word('a'), word('b')]]]), ARROW_FILE),
      writeInput(folder, 'b.arrow', file([['when', find('date32'), [{ raw: 3, value: 3 }]], ['id', find('int64'), [number(2 ** 40)]]]), ARROW_FILE),
      writeInput(folder, 'c.arrow', file([['name', { ...int32, type: new Null(), store: cells => ({ rows: cells.length, nulls: cells.length, buffers: [], children: [] }) }, [null]], ['id', find('uint8'), [number(200)]]]), ARROW_FILE)
    ])
    const converter = tableConverters.find(({ id }) => id === 'table/arrow-arrow')!
    const { parameters, notes } = await tables.prepare(inputs, converter, {}, {})
    const params = parameters as unknown as TableParameters
    assert.deepEqual(params.columns, [{ name: 'id', type: 'BIGINT' }, { name: 'name', type: 'VARCHAR' }, { name: 'when', type: 'DATE' }])
    assert.deepEqual(notes.map(({ code }) => code).filter(code => code.endsWith('united')), ['columns-united', 'types-united'])
    const conversion = conversionOf(converter.id, params)
    const recipes = await splitAll(inputs, conversion, 1e6)
    assert.deepEqual(recipes.map(({ slice }) => slice), [{ present: [0, 1] }, { present: [2, 0] }, { present: [1, 0] }])
    const path = await convertBlocks(folder, inputs, conversion, recipes)
    const rows = [[1, 'a', null], [null, 'b', null], [2 ** 40, null, 3], [200, null, null]]
    assert.deepEqual(await rowsOf(path, params.target, params.columns, { side: 'result' }), rows)
    const sources: unknown[][] = []
    for (const [i, { path }] of inputs.entries()) sources.push(...await rowsOf(path, params.source, params.columns, { side: 'source', ...recipes[i]!.slice }))
    assert.deepEqual(sources, rows)
  }))

  it('refuses types that cannot be united, naming both files', async () => withFolder(async folder => {
    const inputs = [await writeInput(folder, 'a.arrow', file([['id', find('int8'), [number(1)]]]), ARROW_FILE), await writeInput(folder, 'b.arrow', file([['id', find('utf8'), [word('a')]]]), ARROW_FILE)]
    assert.throws(() => prepareArrow(inputs), /column 'id' is TINYINT in '.*a\.arrow' and VARCHAR in '.*b\.arrow'/)
  }))

  it('notices an input that changed', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.arrow', file([['id', int32, [number(1)]]]), ARROW_FILE)
    const { columns } = prepareArrow([input])
    const params: TableParameters = { columns, source: { format: 'arrow' }, target: { format: 'arrow', container: 'file' } }
    const split = async (): Promise<unknown> => await Array.fromAsync(splitArrow([input], params, { bytes: 100 }))
    await utimes(input.path, 1, 1)
    await assert.rejects(split(), { code: 'input-changed' })
    await writeFile(input.path, file([['id', find('utf8'), [word('one')]]]))
    await assert.rejects(split(), { code: 'input-changed' })
  }))

  it('tells by notes what does not stay as it is', async () => withFolder(async folder => {
    const fields = [
      new Field('zone', new Timestamp(TimeUnit.MILLISECOND, 'Asia/Tokyo'), true), new Field('utc', new Timestamp(TimeUnit.MILLISECOND, 'UTC'), true), new Field('half', new Float16(), true), new Field('nothing', new Null(), true),
      new Field('point', new Utf8(), true, new Map([['ARROW:extension:name', 'geoarrow.wkt']])), new Field('day', new DateMillisecond(), true)
    ]
    const bytes = ipc(fields, [], { container: 'file', version: MetadataVersion.V4 })
    const { notes, columns } = prepareArrow([await writeInput(folder, 'in.arrow', bytes, ARROW_FILE)])
    assert.deepEqual(columns.map(({ type }) => type), ['TIMESTAMPTZ', 'TIMESTAMPTZ', 'FLOAT', 'VARCHAR', 'VARCHAR', 'DATE'])
    assert.deepEqual(notes.map(({ code, columns }) => [code, columns]), [['zone-name-dropped', ['zone']], ['float16-widened', ['half']], ['null-as-text', ['nothing']], ['extension-as-storage', ['point']]])
    assert.match(notes[0]!.message, /'zone' is in a time zone \(Asia\/Tokyo\): the instants are kept/)
  }))
})
