import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile, truncate, utimes, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import type { BlockRecipe, Input, SplitItem } from '../../../../daemon/block-convert/index.ts'
import { RecipeReader } from '../../../../daemon/block-convert/source.ts'
import { CSV, NDJSON, SCAN_CHUNK_BYTES } from '../../../../daemon/block-convert/tables/constants.ts'
import { splitCsv } from '../../../../daemon/block-convert/tables/csv/split.ts'
import { splitJson } from '../../../../daemon/block-convert/tables/json/split.ts'
import type { Column, Dialect, TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import { csvCase, rowsOf, withFolder, writeInput } from './cases.ts'

const DIALECT: Dialect = { delimiter: ',', quote: '"', escape: '"', header: true }

function csv (types: Record<string, string>, dialect = DIALECT): TableParameters {
  return { columns: columns(types), source: { format: 'csv', dialect }, target: { format: 'parquet', compression: 'snappy' } }
}

function columns (types: Record<string, string>): Column[] {
  return Object.entries(types).map(([name, type]) => ({ name, type }))
}

/** All recipes, each checked against the bytes it stands for. */
async function recipes (inputs: Input[], params: TableParameters, bytes: number, others: SplitItem[] = []): Promise<Array<BlockRecipe & { content: string }>> {
  const split = params.source.format === 'csv' ? splitCsv : splitJson
  await using reader = new RecipeReader(inputs)
  const found: Array<BlockRecipe & { content: string }> = []
  for await (const recipe of split(inputs, params, { bytes })) {
    if ('note' in recipe) {
      others.push(recipe)
      continue
    }
    const content = await reader.bytes(recipe)
    assert.equal(recipe.index, found.length)
    assert.equal(recipe.size, content.length)
    assert.deepEqual(Buffer.from(recipe.digest), createHash('sha256').update(content).digest())
    found.push({ ...recipe, content: Buffer.from(content).toString('utf8') })
  }
  return found
}

async function refused (work: Promise<unknown>, code: string, message: RegExp): Promise<ConversionError> {
  let seen: unknown
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    seen = error
    return true
  })
  return seen as ConversionError
}

describe('tables: cutting CSV', () => {
  it('puts the header before every block and tells where each begins', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.csv', '\ufeff"i d",t\r\n1,"a\nb"\r\n2,c\n3,d', CSV)
    const found = await recipes([input], csv({ 'i d': 'BIGINT', t: 'VARCHAR' }), 1)
    assert.deepEqual(found.map(recipe => [recipe.content, recipe.units, recipe.origin.line]), [['i d,t\n1,"a\nb"\r\n', 1, 2], ['i d,t\n2,c\n', 1, 4], ['i d,t\n3,d', 1, 5]])
  }))

  it('cuts at the first record border behind the wanted size', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.csv', 'a\n11\n22\n33\n44\n55\n', CSV)
    const found = await recipes([input], csv({ a: 'BIGINT' }), 4)
    assert.deepEqual(found.map(recipe => recipe.content), ['a\n11\n22\n', 'a\n33\n44\n', 'a\n55\n'])
  }))

  it('gives the same rows in the same order for every size', async () => withFolder(async folder => {
    await fc.assert(fc.asyncProperty(csvCase, fc.integer({ min: 1, max: 60 }), async ({ names, rows, dialect, content }, bytes) => {
      fc.pre(content !== '')
      const params = csv(Object.fromEntries(names.map(name => [name, 'VARCHAR'])), dialect)
      // Object keys that look like integers would change places.
      params.columns = names.map(name => ({ name, type: 'VARCHAR' }))
      const found = await recipes([await writeInput(folder, 'in.csv', content, CSV)], params, bytes)
      const read: unknown[][] = []
      for (const recipe of found) {
        const part = await rowsOf({ bytes: Buffer.from(recipe.content) }, params.source, params.columns, { side: 'source' })
        assert.equal(part.length, recipe.units)
        read.push(...part)
      }
      assert.deepEqual(read, rows)
    }), { numRuns: 100 })
  }))

  it('reads through its buffer: records across chunks, and one larger than it', async () => withFolder(async folder => {
    const long = 'x"\n'.repeat(SCAN_CHUNK_BYTES / 2)
    const lines = Array.from({ length: 60_000 }, (_, i) => `${i},"some ""text"",\nand ${'é'.repeat(i % 40)}"\n`)
    lines[30_000] = `30000,"${long.replaceAll('"', '""')}"\n`
    const content = `i,t\n${lines.join('')}`
    const input = await writeInput(folder, 'in.csv', content, CSV)
    const found = await recipes([input], csv({ i: 'BIGINT', t: 'VARCHAR' }), 300_000)
    assert.ok(found.length > 10)
    assert.equal(found.map(recipe => recipe.content.slice(4)).join(''), content.slice(4))
    assert.equal(found.reduce((sum, recipe) => sum + recipe.units!, 0), 60_000)
    const line = found[5]!.origin.line
    assert.equal(content.split('\n').slice(line - 1).join('\n').slice(0, 20), found[5]!.content.slice(4, 24))
  }))

  it('numbers the blocks of several inputs in one row, and gathers small ones', async () => withFolder(async folder => {
    const a = await writeInput(folder, 'a.csv', 'x,y\n1,2', CSV)
    const b = await writeInput(folder, 'b.csv', '"x","y"\r\n\r\n3,4', CSV)
    const c = await writeInput(folder, 'c.csv', 'x,z\n5,6\n', CSV)
    const params = csv({ x: 'BIGINT', y: 'BIGINT' })
    assert.deepEqual((await recipes([a, b], params, 1)).map(recipe => [recipe.index, recipe.origin.input, recipe.content]), [[0, 0, 'x,y\n1,2'], [1, 1, 'x,y\n3,4']])
    const [both, ...others] = await recipes([a, b], params, 100)
    assert.deepEqual([both!.content, both!.units, both!.origin, others], ['x,y\n1,2\n\r\n3,4', 2, { input: 0, line: 2 }, []])
    assert.deepEqual(both!.parts.map(part => 'bytes' in part ? Buffer.from(part.bytes).toString() : part), ['x,y\n', { input: 0, offset: 4, length: 3 }, '\n', { input: 1, offset: 9, length: 5 }])
    await refused(recipes([a, c], params, 100), 'unsupported', /c\.csv' has column 'z', which was not there/)
  }))

  it('marks blocks whose line ends must be made equal', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.csv', 'a,b\n1,2\n3,4\r5,6\n', CSV)
    const found = await recipes([input], csv({ a: 'BIGINT', b: 'BIGINT' }), 1)
    assert.deepEqual(found.map(recipe => recipe.slice), [undefined, { lineEnds: 'mixed' }, undefined])
  }))

  it('gives no block for no rows, and refuses an empty file', async () => withFolder(async folder => {
    const params = csv({ a: 'BIGINT', b: 'BIGINT' })
    for (const content of ['a,b', 'a,b\n', 'a,b\r\n\n\n']) assert.deepEqual(await recipes([await writeInput(folder, 'in.csv', content, CSV)], params, 5), [])
    await refused(recipes([await writeInput(folder, 'in.csv', '', CSV)], params, 5), 'bad-input', /is empty: no header/)
    await refused(recipes([await writeInput(folder, 'in.csv', '\n\n', CSV)], params, 5), 'bad-input', /is empty: no header/)
  }))

  it('names place and value of what is wrong, far into the file', async () => withFolder(async folder => {
    const content = `a,b\n${'1,2\n'.repeat(500_000)}1,x\n`
    const params = csv({ a: 'BIGINT', b: 'BIGINT' })
    params.columns[1]!.fixed = true
    const error = await refused(recipes([await writeInput(folder, 'in.csv', content, CSV)], params, 100_000), 'contradiction', /line 500002, column 'b': "x" is not an exact BIGINT/)
    assert.deepEqual([error.details.line, error.details.column, error.details.value, error.details.type], [500_002, 'b', 'x', 'BIGINT'])
    await refused(recipes([await writeInput(folder, 'in.csv', Buffer.from('a,b\n1,2\n3,\xff\n', 'latin1'), CSV)], csv({ a: 'BIGINT', b: 'VARCHAR' }), 100), 'bad-input', /line 3: it is not UTF-8/)
  }))

  it('refuses a byte order mark a reader would drop', async () => withFolder(async folder => {
    const params = csv({ column_1: 'VARCHAR', column_2: 'VARCHAR' }, { ...DIALECT, header: false })
    await refused(recipes([await writeInput(folder, 'in.csv', 'a,b\n\ufeffc,d\n', CSV)], params, 1), 'unsupported', /line 2: a record begins with a byte order mark/)
    assert.equal((await recipes([await writeInput(folder, 'in.csv', 'a,b\n"\ufeffc",d\n', CSV)], params, 1)).length, 2)
  }))

  it('notices that the file is not what was described', async () => withFolder(async folder => {
    const params = csv({ a: 'BIGINT' })
    const input = await writeInput(folder, 'in.csv', 'a\n1\n', CSV)
    await appendFile(input.path, '2\n')
    await refused(recipes([input], params, 100), 'input-changed', /changed while the job ran/)
    await truncate(input.path, 2)
    await refused(recipes([input], params, 100), 'input-changed', /became shorter/)
    await writeFile(input.path, 'a\n1\n')
    await utimes(input.path, new Date(), new Date(input.mtimeMs + 5000))
    await refused(recipes([input], params, 100), 'input-changed', /was written to/)
    await refused(recipes([{ ...input, path: `${input.path}x` }], params, 100), 'input-unreadable', /there is no such file/)
  }))
})

describe('tables: cutting NDJSON', () => {
  const params: TableParameters = { columns: columns({ a: 'BIGINT', s: 'VARCHAR' }), source: { format: 'ndjson' }, target: { format: 'parquet', compression: 'snappy' } }

  it('cuts between lines', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.ndjson', '\ufeff{"a":1}\n\n{"a":2,"s":"x\\ny"}\r\n{}', NDJSON)
    const found = await recipes([input], params, 1)
    assert.deepEqual(found.map(recipe => [recipe.content, recipe.units, recipe.origin.line]), [['{"a":1}\n', 1, 1], ['{"a":2,"s":"x\\ny"}\r\n', 1, 3], ['{}', 1, 4]])
    assert.deepEqual(await recipes([await writeInput(folder, 'empty.ndjson', '', NDJSON)], params, 1), [])
  }))

  it('names place and value of what is wrong, far into the file', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.ndjson', `${'{"a":1,"s":"some text"}\n'.repeat(100_000)}{"a":1.5}\n`, NDJSON)
    const fixed = { ...params, columns: params.columns.map(column => ({ ...column, fixed: true as const })) }
    const error = await refused(recipes([input], fixed, 50_000), 'contradiction', /line 100001, column 'a': "?1\.5/)
    assert.equal(error.details.line, 100_001)
  }))
})
