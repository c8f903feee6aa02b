import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { CSV, NDJSON, PARQUET } from '../../../../daemon/block-convert/tables/constants.ts'
import { columnNames, headerLine, parseRecords } from '../../../../daemon/block-convert/tables/csv/dialect.ts'
import { sniffDelimiter } from '../../../../daemon/block-convert/tables/csv/detect.ts'
import { ColumnEvidence, lexemeOf } from '../../../../daemon/block-convert/tables/infer.ts'
import { lexicalRule } from '../../../../daemon/block-convert/tables/lexical.ts'
import { prepareTable } from '../../../../daemon/block-convert/tables/prepare.ts'
import type { SourceForm, TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import { nearest } from '../../../../daemon/block-convert/tables/settings.ts'
import { csvCase, csvValues, withFolder, writeInput } from './cases.ts'

function typeOf (values: Array<string | null>, complete = true): string {
  const evidence = new ColumnEvidence()
  for (const value of values) evidence.add(value)
  return evidence.type(complete)
}

async function prepared (content: string, settings: Record<string, string> = {}, from = CSV, to = PARQUET): Promise<TableParameters> {
  return await withFolder(async folder => (await prepareTable([await writeInput(folder, 'in', content, from)], { from, to }, settings)).parameters)
}

async function types (content: string, settings: Record<string, string> = {}, from = CSV): Promise<Record<string, string>> {
  return Object.fromEntries((await prepared(content, settings, from)).columns.map(({ name, type }) => [name, type]))
}

async function dialect (content: string, settings: Record<string, string> = {}): Promise<string> {
  const { source } = await prepared(content, settings)
  const { delimiter, quote, header } = (source as SourceForm & { format: 'csv' }).dialect
  return `${delimiter}${quote}${header}`
}

async function refused (work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

describe('tables: types from samples', () => {
  it('gives the narrowest type that holds every value exactly', () => {
    assert.equal(typeOf(['1', '-20', null]), 'BIGINT')
    assert.equal(typeOf(['1', '007']), 'VARCHAR')
    assert.equal(typeOf(['1', '+5']), 'VARCHAR')
    assert.equal(typeOf(['1', '2.50']), 'DECIMAL(18,2)')
    assert.equal(typeOf(['1.5', '1e3']), 'VARCHAR')
    assert.equal(typeOf(['9223372036854775808']), 'DECIMAL(38,0)')
    assert.equal(typeOf(['1'.repeat(39)]), 'VARCHAR')
    assert.equal(typeOf(['12345678901234567.25']), 'DECIMAL(38,2)')
    assert.equal(typeOf([`${'1'.repeat(30)}.5`, `0.${'1'.repeat(20)}`]), 'VARCHAR')
    assert.equal(typeOf(['true', 'FALSE']), 'BOOLEAN')
    assert.equal(typeOf(['true', '1']), 'VARCHAR')
    assert.equal(typeOf(['2024-02-29']), 'DATE')
    assert.equal(typeOf(['2023-02-29']), 'VARCHAR')
    assert.equal(typeOf(['2024-02-29 10:00:00', '2024-02-29T10:00:00.5']), 'TIMESTAMP')
    assert.equal(typeOf(['2024-02-29', '2024-02-29 10:00:00']), 'VARCHAR')
    assert.equal(typeOf(['10:00:00']), 'TIME')
    assert.equal(typeOf(['2024-02-29T10:00:00Z']), 'VARCHAR')
    assert.equal(typeOf([null, null]), 'VARCHAR')
    assert.equal(typeOf(['1', '']), 'VARCHAR')
  })

  it('leaves room where not every value was seen', () => {
    assert.equal(typeOf(['1.25', '2.50'], false), 'DECIMAL(18,2)')
    assert.equal(typeOf(['1.2', '2.505'], false), 'DECIMAL(18,5)')
    assert.equal(typeOf(['12345678901234567.2'], false), 'DECIMAL(38,1)')
  })

  it('never chooses a type that does not hold a value it saw', () => {
    fc.assert(fc.property(fc.array(fc.oneof(...Object.values(csvValues), fc.constant('')), { minLength: 1, maxLength: 6 }), fc.boolean(), (values, complete) => {
      const type = typeOf(values, complete)
      const rule = lexicalRule(type)
      for (const value of values) assert.ok((value !== '' || type === 'VARCHAR') && rule(value), `${type} does not hold ${JSON.stringify(value)}`)
    }), { numRuns: 500 })
  })

  it('classifies a text as a type only if that type holds it', () => {
    const rules = { integer: 'BIGINT', decimal: 'DECIMAL(38,19)', boolean: 'BOOLEAN', date: 'DATE', time: 'TIME', timestamp: 'TIMESTAMP', text: 'VARCHAR' }
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'0123456789-.:T te'), minLength: 1, maxLength: 20 }), value => {
      assert.ok(lexicalRule(rules[lexemeOf(value)])(value))
    }), { numRuns: 1000 })
  })
})

describe('tables: the dialect', () => {
  it('finds the delimiter, quotes and all', () => {
    assert.equal(sniffDelimiter('a,b\n1,2\n', '"'), ',')
    assert.equal(sniffDelimiter('a;b\n"1;2",3\n1,5;2\n', '"'), ';')
    assert.equal(sniffDelimiter('a\tb,c\n1\t2\n', '"'), '\t')
    assert.equal(sniffDelimiter('a|b|c\n1|2|3\n', '"'), '|')
    assert.equal(sniffDelimiter('word\nother\n', '"'), ',')
  })

  it('finds out whether the first record names the columns', async () => {
    assert.equal(await dialect('id,name\n1,x\n'), ',"true')
    assert.equal(await dialect('name,town\nx,y\n'), ',"true')
    assert.equal(await dialect('1,x\n2,y\n'), ',"false')
    assert.equal(await dialect('country,2001\nfr,5\n'), ',"false')
    assert.equal(await dialect('country,2001\nfr,5\n', { header: 'true' }), ',"true')
    assert.equal(await dialect('a,\nx,y\n'), ',"false')
    assert.equal(await dialect('id,name\n1,x\n', { header: 'false' }), ',"false')
    assert.equal(await dialect('a;b\n1;2\n', { delimiter: ',' }), ',"true')
    assert.equal(await dialect('a\tb\n1\t2\n', { delimiter: 'tab' }), '\t"true')
    assert.equal(await dialect('a,b\n\'x,y\',2\n', { quote: '\'' }), ',\'true')
  })

  it('makes column names distinct by the stated rule', () => {
    assert.deepEqual(columnNames(['a', 'A', 'a', '', null, 'a_2']), ['a', 'A_2', 'a_3', 'column_4', 'column_5', 'a_2_2'])
  })

  it('writes headers it reads again', () => {
    fc.assert(fc.property(csvCase, ({ names, dialect: form }) => {
      const line = Buffer.from(headerLine(names.map(name => ({ name, type: 'VARCHAR' })), form)).toString('utf8')
      assert.deepEqual(parseRecords(line, form, { columns: names.length }), [names])
    }), { numRuns: 300 })
  })
})

describe('tables: prepare', () => {
  it('decides columns, types and target of a CSV', async () => {
    const params = await prepared('id,amount,when,note,nothing\n1,2.50,2024-01-01,"",\n-2,0.25,,007,\n', { compression: 'zstd' })
    assert.deepEqual(params, {
      columns: [{ name: 'id', type: 'BIGINT' }, { name: 'amount', type: 'DECIMAL(18,2)' }, { name: 'when', type: 'DATE' }, { name: 'note', type: 'VARCHAR' }, { name: 'nothing', type: 'VARCHAR' }],
      source: { format: 'csv', dialect: { delimiter: ',', quote: '"', escape: '"', header: true } },
      target: { format: 'parquet', compression: 'zstd' }
    })
  })

  it('takes types from the user', async () => {
    assert.deepEqual(await types('a,b\n1,2\n', { types: 'text' }), { a: 'VARCHAR', b: 'VARCHAR' })
    assert.deepEqual(await types('a,b\n1,2\n', { 'type:b': 'decimal(10, 2)' }), { a: 'BIGINT', b: 'DECIMAL(10,2)' })
    assert.deepEqual(await types('{"a":1}\n', { 'type:rare': 'JSON' }, NDJSON), { a: 'BIGINT', rare: 'JSON' })
    assert.deepEqual(await types('{"a":1}\n', { types: 'text' }, NDJSON), { a: 'JSON' })
  })

  it('refuses unknown and ill-typed settings, naming the nearest', async () => {
    const csv = 'a,b\n1,2\n'
    await refused(prepared(csv, { delimeter: ';' }), 'bad-parameters', /unknown setting 'delimeter'; did you mean 'delimiter'\?/)
    await refused(prepared(csv, { delimiter: 'xy' }), 'bad-parameters', /'delimiter' cannot be 'xy'/)
    await refused(prepared(csv, { header: 'yes' }), 'bad-parameters', /'header' cannot be 'yes'/)
    await refused(prepared(csv, { 'type:a': 'NUMBER' }), 'bad-parameters', /'NUMBER' is no column type/)
    await refused(prepared(csv, { 'type:aa': 'BIGINT' }), 'bad-parameters', /no column 'aa'; did you mean 'a'\?/)
    await refused(prepared(csv, { compression: 'lzo' }), 'bad-parameters', /one of: snappy zstd gzip uncompressed/)
    await refused(prepared('{"a":1}', { delimiter: ',' }, NDJSON), 'bad-parameters', /unknown setting 'delimiter'/)
    assert.equal(nearest('compresion', ['types', 'compression']), 'compression')
    assert.equal(nearest('zzz', ['types', 'compression']), undefined)
  })

  it('refuses what has no columns, or columns that cannot be told apart', async () => {
    await refused(prepared(''), 'bad-input', /is empty: no header/)
    await refused(prepared('', {}, NDJSON), 'bad-input', /is empty: no object/)
    await refused(prepared('{"a":1}\nnonsense\n', {}, NDJSON), 'bad-input', /line 2: not /)
    await refused(prepared('[1]\n', {}, NDJSON), 'bad-input', /line 1: not an object/)
    await refused(prepared('{"a":1,"A":2}\n', {}, NDJSON), 'unsupported', /differ only in case/)
    await refused(prepared('{"":1}\n', {}, NDJSON), 'unsupported', /column without a name/)
  })
})
