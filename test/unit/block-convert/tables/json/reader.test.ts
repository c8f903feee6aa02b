import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { canonicalJson } from '../../../../../daemon/block-convert/tables/json/text.ts'
import type { ReadOptions } from '../../../../../daemon/block-convert/tables/readers/index.ts'
import type { Column } from '../../../../../daemon/block-convert/tables/schema.ts'
import { read, text } from '../readers/duck.ts'

const columns: Column[] = [
  { name: 'id', type: 'BIGINT' }, { name: 'name', type: 'VARCHAR' }, { name: 'x', type: 'DOUBLE' }, { name: 'ok', type: 'BOOLEAN' }, { name: 'more', type: 'JSON' }, { name: 'price', type: 'DECIMAL(18,2)' }, { name: 'day', type: 'DATE' }
]
const parse = (json: string, options: ReadOptions = {}): unknown[][] => read(text(json), { format: 'ndjson' }, columns, options)

function fails (json: string, code: string, line: number, message: RegExp, options: ReadOptions = {}): void {
  assert.throws(() => parse(json, options), (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.equal(error.details.line, line)
    return true
  })
}

describe('readers/ndjson', () => {
  it('reads values by their column, keys in any order, missing ones as NULL', () => {
    assert.deepEqual(parse('{"id":1,"name":"a","x":1.5,"ok":true,"more":[1, {"b": 2.0}],"price":12.5,"day":"2020-02-29"}\n{ "name" : "b\\n\\u00fc" , "id" : -5 }\r\n{}\n'), [
      [1, 'a', 1.5, true, '[1,{"b":2}]', 1250, 18321],
      [-5, 'b\nü', null, null, null, null, null],
      [null, null, null, null, null, null, null]
    ])
    assert.deepEqual(parse('{"more":null,"ok":false,"x":-0}'), [[null, null, -0, false, null, null, null]])
    assert.deepEqual(parse('{"more":"text"}\n{"more":1e2}\n{"more":true}'), [[null, null, null, null, '"text"', null, null], [null, null, null, null, '100', null, null], [null, null, null, null, 'true', null, null]])
  })

  it('keeps every digit', () => {
    assert.deepEqual(parse('{"id":9007199254740993,"price":9999999999999999.99,"more":{"n":123456789012345678901234567890.10}}'), [
      [9007199254740993n, null, null, null, '{"n":1234567890123456789012345678901e-1}', 999999999999999999n, null]
    ])
  })

  it('skips blank lines', () => {
    assert.deepEqual(parse('\n  \n{"id":1}\n\r\n{"id":2}\n\n').map(row => row[0]), [1, 2])
    assert.deepEqual(parse(''), [])
  })

  it('names what contradicts the columns', () => {
    fails('{"id":1}\n\n{"id":1.5}', 'contradiction', 3, /column 'id': "1.5" is not BIGINT/)
    fails('{"id":"1"}', 'contradiction', 1, /"\\"1\\"" is not BIGINT/)
    fails('{"name":5}', 'contradiction', 1, /is not VARCHAR/)
    fails('{"name":[1]}', 'contradiction', 1, /is not VARCHAR/)
    fails('{"ok":1}', 'contradiction', 1, /is not BOOLEAN/)
    fails('{"day":"2021-02-29"}', 'contradiction', 1, /is not DATE/)
    fails('{"price":1.234}', 'contradiction', 1, /is not DECIMAL/)
    fails('{"other":1}', 'contradiction', 1, /"other" is no column/)
    fails('{"other":1}', 'bad-input', 1, /"other" is no column/, { side: 'result' })
    fails('{"id":1}\n{"id":true}', 'contradiction', 18, /line 18/, { firstLine: 17 })
  })

  it('refuses what is not one JSON object per line', () => {
    fails('{"id":1}\n[1]', 'bad-input', 2, /'{' expected \(character 1\)/)
    fails('{"id":1} {"id":2}', 'bad-input', 1, /one record per line/)
    fails('{"id":\n1}', 'bad-input', 1, /value expected/)
    fails('{"id":1,"id":2}', 'bad-input', 1, /comes twice/)
    fails('{"id":01}', 'bad-input', 1, /'}' expected/)
    fails('{"name":"a\tb"}', 'bad-input', 1, /control character/)
    fails('{"name":"\\x"}', 'bad-input', 1, /wrong escape/)
    fails('{"name":"abc', 'bad-input', 1, /does not end/)
    fails('{"id":1,}', 'bad-input', 1, /a key expected/)
    fails('{"ok":tru}', 'bad-input', 1, /value expected/)
    fails('{"ok":nul}', 'bad-input', 1, /value expected/)
    fails('{"more":[1,]}', 'bad-input', 1, /value expected/)
    fails('{"x":1.}', 'bad-input', 1, /digit expected/)
  })

  it('reads what JSON.stringify writes, whatever the pieces', () => {
    const record = fc.record({
      id: fc.option(fc.maxSafeInteger()), name: fc.option(fc.string({ unit: 'grapheme', maxLength: 20 })), x: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).filter(x => !Object.is(x, -0))),
      ok: fc.option(fc.boolean()), more: fc.jsonValue({ maxDepth: 3 })
    }, { requiredKeys: [] })
    fc.assert(fc.property(fc.array(record, { maxLength: 20 }), fc.integer({ min: 1, max: 60 }), fc.boolean(), (records, chunkBytes, pretty) => {
      const lines = records.map(row => pretty ? JSON.stringify(row, null, 1).replaceAll('\n', '\t') : JSON.stringify(row))
      const wanted = records.map(row => [row.id ?? null, row.name ?? null, row.x ?? null, row.ok ?? null, row.more == null ? null : canonicalJson(JSON.stringify(row.more)), null, null])
      assert.deepEqual(parse(lines.join('\n'), { chunkBytes }), wanted)
    }), { numRuns: 300 })
  })

  it('answers every mutation with rows or a ConversionError', () => {
    const line = '{"id":12,"name":"a\\"b","x":1.5e3,"ok":true,"more":[1,{"b":"\\u00fc"}],"price":12.5,"day":"2020-02-29"}\n'
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(line.length - 1), fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '1', 'e', '-', '.', ' ', '\n')), { minLength: 1, maxLength: 3 }), changes => {
      const chars = [...line]
      for (const [at, char] of changes) chars[at] = char
      try {
        parse(chars.join(''))
      } catch (error) {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
      }
    }), { numRuns: 1000 })
  })
})
