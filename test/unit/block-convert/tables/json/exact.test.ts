import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { exactCast, exactType, needsExact, writeExact } from '../../../../../daemon/block-convert/tables/json/exact.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { parseType, typeName } from '../../../../../daemon/block-convert/tables/types.ts'
import { withFolder } from '../cases.ts'

const params = (types: string[], more: Partial<TableParameters> = {}): TableParameters => ({ columns: types.map((type, i) => ({ name: `c${i}`, type })), source: { format: 'json' }, target: { format: 'json' }, ...more })

async function rewritten (content: string, columns: Column[], values = false): Promise<string> {
  return await withFolder(async folder => {
    await writeFile(`${folder}/in`, content)
    writeExact(`${folder}/in`, `${folder}/out`, columns, values)
    return await readFile(`${folder}/out`, 'utf8')
  })
}

describe('tables: JSON numbers as texts for the engine', () => {
  it('is needed where the engine would round', () => {
    for (const types of [['DECIMAL(16,1)'], ['BIGINT', 'STRUCT("a" DECIMAL(38,2)[])']]) assert.equal(needsExact(params(types)), true)
    for (const types of [['DECIMAL(15,2)'], ['DECIMAL(38,0)'], ['DOUBLE', 'JSON']]) assert.equal(needsExact(params(types)), false)
    assert.equal(needsExact(params(['JSON'], { source: { format: 'json', fractions: 'double' } })), true)
    assert.equal(needsExact(params(['BIGINT'], { numbers: 'exact' })), true)
  })

  it('makes texts of decimals and of JSON values, and nothing else', async () => {
    const columns = [{ name: 'd', type: 'DECIMAL(38,9)' }, { name: 'j', type: 'JSON' }, { name: 'f', type: 'DOUBLE' }, { name: 's', type: 'STRUCT("d" DECIMAL(38,9)[], "j" JSON)' }, { name: 't', type: 'VARCHAR' }]
    const records = ['{"d":1.5,"j":{"x" : -0},"f":-0,"t":"1.5"}', '{"j":null,"s":{"j":"x\\"","d":[1,null]},\n"f":-0.5}', '{}']
    const lines = '{"d":"1.5","j":"{\\"x\\" : -0}","f":-0.0,"t":"1.5"}\n{"j":null,"s":{"j":"\\"x\\\\\\"\\"","d":["1",null]},"f":-0.5}\n{}\n'
    assert.equal(await rewritten(`[${records.join(' ,\n')} ]`, columns), lines)
    assert.equal(await rewritten(records.join(''), columns), lines)
    assert.equal(await rewritten(records.join('\n\n'), columns), lines)
    assert.equal(await rewritten('[-0, [1.25], null]', [{ name: 'value', type: 'JSON' }], true), '{"value":"-0"}\n{"value":"[1.25]"}\n{"value":null}\n')
    for (const empty of ['', '[]', ' [ ] ']) assert.equal(await rewritten(empty, columns), '')
  })

  it('has the engine read texts where it wrote them', () => {
    assert.equal(typeName(exactType(parseType('STRUCT("a" JSON[], "b" DECIMAL(9,2))'))), 'STRUCT("a" VARCHAR[], "b" DECIMAL(9,2))')
    assert.equal(exactCast({ name: 'x', type: 'JSON[]' }, '"x"'), 'CAST("x" AS JSON[])')
    assert.equal(exactCast({ name: 'x', type: 'DECIMAL(9,2)' }, '"x"'), '"x"')
  })

  it('refuses what no splitter made', async () => {
    const columns = [{ name: 'a', type: 'BIGINT[]' }]
    for (const block of ['[{"a":[1]', '{"a":1}', '{"b":1}', '[5]', '{"a":[1,]}', '{"a":{}}', '{"a":[1]', 'x']) {
      await assert.rejects(rewritten(block, columns), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input', block)
    }
  })
})
