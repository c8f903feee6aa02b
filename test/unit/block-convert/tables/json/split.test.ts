import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile } from 'node:fs/promises'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { BlockRecipe, Input, SplitItem } from '../../../../../daemon/block-convert/index.ts'
import { RecipeReader } from '../../../../../daemon/block-convert/source.ts'
import { JSON_ARRAY, NDJSON, SCAN_CHUNK_BYTES } from '../../../../../daemon/block-convert/tables/constants.ts'
import { splitJson } from '../../../../../daemon/block-convert/tables/json/split.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { withFolder, writeInput } from '../cases.ts'

const COLUMNS: Column[] = [{ name: 'a', type: 'BIGINT' }, { name: 's', type: 'VARCHAR' }]
const params = (format: 'json' | 'ndjson' = 'json', columns = COLUMNS): TableParameters => ({ columns, source: { format }, target: { format: 'parquet', compression: 'snappy' } })

interface Cut { blocks: Array<BlockRecipe & { content: string }>, others: Array<Exclude<SplitItem, BlockRecipe>>, order: string[] }

/** All blocks, each checked against the bytes it stands for, and what came up between them. */
async function cut (inputs: Input[], parameters: TableParameters, bytes: number): Promise<Cut> {
  await using reader = new RecipeReader(inputs)
  const found: Cut = { blocks: [], others: [], order: [] }
  for await (const item of splitJson(inputs, parameters, { bytes })) {
    if ('note' in item) {
      found.others.push(item)
      found.order.push('widen' in item ? 'widen' : 'note')
      continue
    }
    const content = await reader.bytes(item)
    assert.equal(item.index, found.blocks.length)
    assert.equal(item.size, content.length)
    assert.deepEqual(Buffer.from(item.digest), createHash('sha256').update(content).digest())
    found.blocks.push({ ...item, content: Buffer.from(content).toString('utf8') })
    found.order.push('block')
  }
  return found
}

async function refused (work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String((error as Error).stack))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}

describe('tables: cutting JSON', () => {
  it('puts brackets around the elements of an array', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.json', '\ufeff [ {"a":1},\n\n{"a":2,"s":"x]"} ,{"a":3}\n]\n', JSON_ARRAY)
    assert.deepEqual((await cut([input], params(), 1)).blocks.map(block => [block.content, block.units, block.origin.line]), [['[{"a":1}]', 1, 1], ['[{"a":2,"s":"x]"}]', 1, 3], ['[{"a":3}]', 1, 3]])
    assert.deepEqual((await cut([input], params(), 20)).blocks.map(block => [block.content, block.units]), [['[{"a":1},\n\n{"a":2,"s":"x]"}]', 2], ['[{"a":3}]', 1]])
    for (const empty of ['', '[]', ' \n']) assert.deepEqual((await cut([await writeInput(folder, 'empty.json', empty, JSON_ARRAY)], params(), 1)).blocks, [])
  }))

  it('leaves objects without an array as they are', async () => withFolder(async folder => {
    const input = await writeInput(folder, 'in.json', '{"a":1}{\n"a":2}\n\n{"a":3}\n', JSON_ARRAY)
    assert.deepEqual((await cut([input], params(), 1)).blocks.map(block => [block.content, block.origin.line]), [['{"a":1}', 1], ['{\n"a":2}', 1], ['{"a":3}', 4]])
    assert.deepEqual((await cut([input], params(), 1000)).blocks.map(block => block.content), ['{"a":1}{\n"a":2}\n\n{"a":3}'])
  }))

  it('gathers small inputs, each kind by itself', async () => withFolder(async folder => {
    const contents = ['[{"a":1}]', '[]', '[ {"a":2} ]', '{"a":3}', '{"a":4}{"a":5}', '[{"a":6}]']
    const inputs = await Promise.all(contents.map(async (content, i) => await writeInput(folder, `${i}.json`, content, JSON_ARRAY)))
    assert.deepEqual((await cut(inputs, params(), 1000)).blocks.map(block => [block.content, block.units, block.origin.input]), [['[{"a":1},{"a":2}]', 2, 0], ['{"a":3}\n{"a":4}{"a":5}', 3, 3], ['[{"a":6}]', 1, 5]])
    const lines = await Promise.all(['{"a":1}', '', '{"a":2}\n\n'].map(async (content, i) => await writeInput(folder, `${i}.ndjson`, content, NDJSON)))
    assert.deepEqual((await cut(lines, params('ndjson'), 1000)).blocks.map(block => [block.content, block.units]), [['{"a":1}\n{"a":2}\n', 2]])
  }))

  it('reads through its buffer: elements across chunks, and one larger than it', async () => withFolder(async folder => {
    const rows = Array.from({ length: 60_000 }, (_, i) => JSON.stringify({ a: i, s: `some "text", {[ and ${'é'.repeat(i % 40)}` }, null, i % 3 === 0 ? 1 : 0))
    rows[30_000] = JSON.stringify({ a: 30_000, s: 'x"]}\\'.repeat(SCAN_CHUNK_BYTES) })
    const content = `[${rows.join(',\n')}]`
    const input = await writeInput(folder, 'in.json', content, JSON_ARRAY)
    const { blocks } = await cut([input], params(), 300_000)
    assert.ok(blocks.length > 10)
    assert.equal(blocks.map(block => block.content.slice(1, -1)).join(',\n'), rows.join(',\n'))
    assert.equal(blocks.reduce((sum, block) => sum + block.units!, 0), 60_000)
    for (const { content: block, origin } of blocks) assert.equal(content.split('\n', origin.line).length, content.slice(0, content.indexOf(block.slice(1, -1))).split('\n').length)
  })).timeout(20_000)

  it('tells of a wider type before the block that needs it, and of all there are', async () => withFolder(async folder => {
    const rows = ['{"a":1}', '{"a":2}', '{"a":2.5,"s":"x"}', '{"a":3}', '{"s":5}', '{"a":"x","s":"y"}', '{"a":0.12345678901234567890}']
    const input = await writeInput(folder, 'in.json', `[${rows.join(',\n')}]`, JSON_ARRAY)
    const { blocks, others, order } = await cut([input], params(), 1)
    assert.deepEqual(order, ['block', 'block', 'widen', 'block', 'block', 'widen', 'block', 'widen', 'block', 'block'])
    assert.deepEqual(others.map(item => 'widen' in item ? item.widen : undefined), [{ types: { 0: 'DOUBLE' } }, { types: { 0: 'DOUBLE', 1: 'JSON' }, numbers: 'exact' }, { types: { 0: 'JSON', 1: 'JSON' }, numbers: 'exact' }])
    assert.equal(others[0]!.note.message, `column 'a' is DOUBLE instead of BIGINT because of "2.5" in '${input.path}' line 3`)
    assert.deepEqual(blocks.map(block => block.slice), [undefined, undefined, undefined, undefined, undefined, undefined, { numbers: 'exact' }])
    await refused(cut([input], params('json', [{ ...COLUMNS[0]!, fixed: true }, COLUMNS[1]!]), 1), 'contradiction', /line 3, column 'a': "2\.5" is not an exact BIGINT/)
  }))

  it('names place and value of what is wrong, far into the file', async () => withFolder(async folder => {
    const at = async (format: 'json' | 'ndjson', last: string, code: string, message: RegExp): Promise<void> => {
      const row = '{"a":1,"s":"some text"}'
      const content = format === 'json' ? `[\n${`${row},\n`.repeat(100_000)}${last}\n]` : `${`${row}\n`.repeat(100_001)}${last}\n`
      await refused(cut([await writeInput(folder, 'in', content, NDJSON)], params(format), 50_000), code, message)
    }
    for (const format of ['json', 'ndjson'] as const) {
      await at(format, '{"b":1}', 'contradiction', /line 100002, key "b" was in no sample/)
      await at(format, '{"a":x}', 'bad-input', /line 100002: not JSON at character 6: a value expected/)
      await at(format, '[1]', 'bad-input', /line 100002: "\[1\]" is not an object/)
    }
    const latin = Buffer.from(`[{"s":"ok"},\n${'{"s":"ok"},\n'.repeat(200_000)}{"s":"\xfc"}]`, 'latin1')
    await refused(cut([await writeInput(folder, 'latin.json', latin, JSON_ARRAY)], params(), 50_000), 'bad-input', /line 200002: it is not UTF-8 text/)
  })).timeout(20_000)

  it('notices a file that is cut off, or changed', async () => withFolder(async folder => {
    await refused(cut([await writeInput(folder, 'in.json', '[{"a":1},\n{"a":2', JSON_ARRAY)], params(), 1), 'bad-input', /line 2: the array does not end/)
    const input = await writeInput(folder, 'in.json', '[{"a":1}]', JSON_ARRAY)
    await appendFile(input.path, ' ')
    await refused(cut([input], params(), 1), 'input-changed', /changed while the job ran/)
  }))

  it('gives the same elements in the same order for every size', async () => withFolder(async folder => {
    const element = fc.record({ a: fc.option(fc.integer()), s: fc.string({ unit: 'grapheme' }) }, { requiredKeys: [] })
    await fc.assert(fc.asyncProperty(fc.array(element, { maxLength: 30 }), fc.integer({ min: 1, max: 200 }), fc.constantFrom(undefined, 1), async (rows, bytes, indent) => {
      const input = await writeInput(folder, 'in.json', JSON.stringify(rows, null, indent), JSON_ARRAY)
      const { blocks } = await cut([input], params(), bytes)
      assert.equal(JSON.stringify(blocks.flatMap(block => JSON.parse(block.content) as unknown[])), JSON.stringify(rows))
      assert.ok(blocks.every(block => block.units === (JSON.parse(block.content) as unknown[]).length))
    }), { numRuns: 150 })
  }))
})
