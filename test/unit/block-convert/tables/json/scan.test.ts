import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { SCAN_PADDING } from '../../../../../daemon/block-convert/tables/constants.ts'
import { RecordProver } from '../../../../../daemon/block-convert/tables/json/prove.ts'
import { ElementScanner, LineScanner, MORE } from '../../../../../daemon/block-convert/tables/json/scan.ts'
import type { Column, SourceForm } from '../../../../../daemon/block-convert/tables/schema.ts'
import { ndjsonCase, rowsOf } from '../cases.ts'

const COLUMNS: Column[] = [
  { name: 'i', type: 'BIGINT', fixed: true }, { name: 'd', type: 'DOUBLE', fixed: true }, { name: 's', type: 'VARCHAR', fixed: true }, { name: 'b', type: 'BOOLEAN', fixed: true }, { name: 'j', type: 'JSON' },
  { name: 'é"', type: 'TIMESTAMP', fixed: true }, { name: 'n', type: 'DECIMAL(5,2)', fixed: true }, { name: 'st', type: 'STRUCT("a" BIGINT, "l" VARCHAR[])', fixed: true }
]

interface Found { records: string[], lines: number[], prover: RecordProver }

/** Every record, given to the scanner in pieces that end where `ends` says. */
function find (content: string, source: SourceForm, columns: Column[], ends: number[] = []): Found {
  const data = Buffer.from(content)
  const prover = new RecordProver({ columns, source }, source.format === 'ndjson')
  const scanner = source.format === 'ndjson' ? new LineScanner(prover, 'in.json') : new ElementScanner(prover, 'in.json')
  const found: Found = { records: [], lines: [], prover }
  let at = 0
  for (const end of [...ends.filter(end => end < data.length).toSorted((a, b) => a - b), data.length]) {
    const bytes = Buffer.alloc(end + SCAN_PADDING)
    data.copy(bytes, 0, 0, end)
    for (;;) {
      const next = scanner.next(bytes, at, end, end === data.length)
      if (next === MORE || scanner.over) break
      at = next
      found.records.push(bytes.toString('utf8', scanner.start, scanner.stop).trim())
      found.lines.push(scanner.line)
    }
  }
  return found
}

const scan = (content: string, columns = COLUMNS): Found => find(content, { format: 'ndjson' }, columns)
const elements = (content: string, columns = COLUMNS): Found => find(content, { format: 'json' }, columns)

function throws (work: () => unknown, code: string, message: RegExp): void {
  assert.throws(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String((error as Error).stack))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}

const refused = (content: string, code: string, message: RegExp): void => throws(() => scan(content), code, message)

const CONTRADICTIONS = [
  '"i":"5"', '"i":1.5', '"i":1.0', '"i":1e3', '"i":9223372036854775808', '"i":true', '"d":"1"', '"d":9007199254740993', '"d":0.1234567890123456789', '"d":1e400', '"d":1e-400', '"s":5', '"s":{}', '"b":"true"', '"b":1',
  '"é\\"":"2020-01-02"', '"é\\"":20', '"n":1.255', '"n":"1.25"', '"n":1000', '"st":5', '"st":[1]', '"st":{"a":"x"}', '"st":{"c":1}', '"st":{"a":1,"a":2}', '"st":{"l":[1]}', '"st":{"l":{}}', '"st":{"A":1}'
]
const EXACT = [
  '"i":9223372036854775807', '"i":-9223372036854775808', '"i":0', '"i":-0', '"d":1.5', '"d":1e300', '"d":-7', '"d":0.1', '"d":-0', '"d":-0.0', '"d":40326814172311130', '"d":0.30000000000000004', '"d":5e-324', '"d":1.50', '"d":9007199254740992',
  '"s":""', '"s":"\\ud83d\\ude00"', '"s":"\\u0000"', '"b":false', '"j":123456789012345678901234567890', '"j":"x"', '"j":{"a":[]}', '"j":0.1', '"j":{"a":1,"a":2}', '"é\\"":"2020-01-02T03:04:05"', '"n":1.25', '"n":-999',
  '"st":{}', '"st":null', '"st":{"l":[],"a":null}', '"st":{"l":["x",null]}'
]

describe('tables: the JSON scanner', () => {
  it('finds the objects of lines, blank lines and keys in any order included', () => {
    const content = '{"i":1,"s":"a"}\n\n  {"s" : "b\\n\\u00e9", "i" : null}\r\n{}\r\n\r\n{"\\u0069":2,"b":true,"j":[1,{"x":"}"}]}'
    const { records, lines } = scan(content)
    assert.deepEqual([records.length, lines], [4, [1, 3, 4, 6]])
  })

  it('finds the elements of arrays, and objects without one', () => {
    const pretty = '\n[\n  {\n    "i" : 1,\n    "st" : { "a": 1 }\n  } ,\n\n {"s":"]},{["}\t]\n'
    assert.deepEqual([elements(pretty).records.map(record => JSON.parse(record) as unknown), elements(pretty).lines], [[{ i: 1, st: { a: 1 } }, { s: ']},{[' }], [3, 8]])
    assert.deepEqual(elements('{"i":1}{"i":2}\n\n{"s":\n"x"}').lines, [1, 1, 3])
    for (const empty of ['', ' \n', '[]', ' [\n] ']) assert.deepEqual(elements(empty).records, [])
    assert.deepEqual(elements('[{},{}]').records, ['{}', '{}'])
  })

  it('finds values where elements are no objects', () => {
    const values = (content: string, type: string): string[] => find(content, { format: 'json', elements: 'values' }, [{ name: 'value', type }]).records
    assert.deepEqual(values('[1, 2,null\n,-3]', 'BIGINT'), ['1', '2', 'null', '-3'])
    assert.deepEqual(values('[ [1,[2]] , {"a":"]"}, "x,\\"y", 1.5 ]', 'JSON'), ['[1,[2]]', '{"a":"]"}', '"x,\\"y"', '1.5'])
    throws(() => values('[1 2]', 'BIGINT'), 'bad-input', /',' or '\]' is expected/)
    throws(() => values('[1,]', 'BIGINT'), 'bad-input', /a value is expected/)
    throws(() => values('[1,x]', 'BIGINT'), 'bad-input', /not JSON at character 1: a value expected/)
  })

  it('takes exact values of each type', () => {
    for (const pair of EXACT) {
      assert.equal(scan(`{${pair}}`).records.length, 1, pair)
      assert.equal(elements(`[{${pair}} ,\n{ ${pair.replace('":', '" : ')} }]`).records.length, 2, pair)
    }
  })

  it('names a value that contradicts what the user gave', () => {
    for (const pair of CONTRADICTIONS) {
      refused(`{"i":1}\n{${pair}}`, 'contradiction', /^'in\.json' line 2, column '.*is not an exact .*--set "type:/)
      throws(() => elements(`[{"i":1},\n{${pair}}]`), 'contradiction', /^'in\.json' line 2, column '.*is not an exact /)
    }
  })

  it('makes inferred types wider, and JSON in the end', () => {
    const free = COLUMNS.map(({ name, type }) => ({ name, type }))
    for (const pair of CONTRADICTIONS) {
      const { prover } = find(`{"i":1}\n{${pair}}`, { format: 'ndjson' }, free)
      const { widen, note } = prover.widenings.take()
      const [[position, type]] = Object.entries(widen.types) as [[string, string]]
      assert.equal(prover.columns[Number(position)]!.type, type)
      assert.ok(pair.startsWith(JSON.stringify(prover.columns[Number(position)]!.name)), pair)
      assert.equal(note.code, 'schema-widened')
      assert.match(note.message, /line 2$/)
    }
  })

  it('marks numbers that the engine would round', () => {
    const free = COLUMNS.map(({ name, type }) => ({ name, type }))
    for (const pair of ['"j":0.1234567890123456789', '"j":[{"a":1.00000000000000000001}]', '"j":-0', '"j":{"x":[-0]}', '"d":-0', '"j":1e400']) assert.equal(find(`{${pair}}`, { format: 'ndjson' }, free).prover.hard, true, pair)
    for (const pair of ['"j":0.1', '"j":"0.1234567890123456789"', '"j":[1e5,12345678901234567890123]', '"d":-0.0', '"d":0.30000000000000004', '"j":"x-0"']) assert.equal(find(`{${pair}}`, { format: 'ndjson' }, free).prover.hard, false, pair)
  })

  it('rounds where it may, and counts', () => {
    const { prover, records } = find('{"d":0.1234567890123456789}\n{"d":9007199254740993}\n{"d":1.5}\n{"s":"x","d":12345678.1234567890123}', { format: 'ndjson', fractions: 'double' }, COLUMNS)
    assert.equal(records.length, 4)
    assert.deepEqual(prover.notes().map(note => [note.code, note.count]), [['numbers-rounded', 3]])
    throws(() => find('{"d":1e400}', { format: 'ndjson', fractions: 'double' }, COLUMNS), 'contradiction', /not an exact DOUBLE/)
  })

  it('never drops a key', () => {
    refused('{"i":1}\n{"i":1,"extra":2}', 'contradiction', /line 2, key "extra" was in no sample.*--set "type:extra=TYPE"/)
    refused('{"i":1,"i":1}', 'bad-input', /key "i" stands twice/)
    refused('{"i":1,"s":"x","\\u0069":null}', 'bad-input', /twice/)
    throws(() => elements('[{"i":1},{"I":2}]'), 'contradiction', /key "I" was in no sample/)
  })

  it('refuses what is no JSON', () => {
    for (const line of ['[1]', '5', 'null', '"x"', '\0', '\ufeff{}']) refused(line, 'bad-input', /is not an object/)
    const wrong = ['{"i":01}', '{"i":1,}', '{"i" 1}', '{i:1}', '{"s":"a\tb"}', '{"s":"\\x"}', '{"b":tru}', '{"j":[1,]}', '{"j":nan}', '{"d":Infinity}', '{"j":{"a":1,}}', '{"j":"\\u12"}', "{'i':1}", '{"d":.5}', '{"d":1.}', '{"d":+1}', '{"j":[1}']
    for (const line of [...wrong, '{"i":1', '{"i":1} {"i":2}', '{"i":1}}']) refused(line, 'bad-input', /line 1: not JSON at character/)
    for (const value of wrong) throws(() => elements(`[{"i":1},\n${value}]`), 'bad-input', /line 2: (?:not JSON at character|the array does not end)/)
    for (const half of ['{"s":"\\ud83d"}', '{"j":["\\udc00"]}', '{"st":{"l":["\\ud83d\\ud83d"]}}', '{"\\ud800":1}']) refused(half, 'bad-input', /surrogate/)
  })

  it('says where an array is cut off, or goes on', () => {
    for (const cut of ['[', '[{"i":1}', '[{"i":1},', '[{"i":1},{"i":', '[{"s":"x', '[{"s":"\\']) throws(() => elements(`\n${cut}`), 'bad-input', /line 2: the array does not end; is the file cut off\?/)
    for (const cut of ['{', '{"i":1}{"i"']) throws(() => elements(cut), 'bad-input', /an object does not end/)
    throws(() => elements('[{"i":1}]\n]'), 'bad-input', /line 2: there is text after the end of the array/)
    throws(() => elements('[{"i":1}{"i":2}]'), 'bad-input', /',' or '\]' is expected/)
    throws(() => elements('[,{"i":2}]'), 'bad-input', /a value is expected/)
    throws(() => elements('[{"i":1},5]'), 'bad-input', /"5" is not an object/)
    throws(() => elements('{"i":1},{"i":2}'), 'bad-input', /an object is expected/)
    throws(() => elements('5'), 'bad-input', /array or object is expected/)
  })

  it('is not brought down by depth, length or width', () => {
    refused(`{"j":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'bad-input', /nested deeper than 1000/)
    refused(`{"j":${'{"a":'.repeat(100_000)}`, 'bad-input', /nested deeper than 1000/)
    refused(`{"i":${'9'.repeat(1_000_000)}}`, 'bad-input', /a number of more than 4096 characters/)
    refused(`{"j":1e${'9'.repeat(5000)}}`, 'bad-input', /a number of more than/)
    assert.equal(scan(`{"j":1e${'9'.repeat(4000)},"s":"${'x'.repeat(1_000_000)}"}`).records.length, 1)
    const columns = Array.from({ length: 5000 }, (_, i) => ({ name: `key ${i}`, type: 'BIGINT' }))
    const row = `{${columns.map(({ name }, i) => `${JSON.stringify(name)}:${i}`).join(',')}}`
    assert.equal(elements(`[${row},${row}]`, columns).records.length, 2)
    throws(() => elements(`[${row},{"key 1":1,"key 1":2}]`, columns), 'bad-input', /twice/)
  })

  it('names the line that is no UTF-8', () => {
    const prover = new RecordProver({ columns: COLUMNS, source: { format: 'json' } }, false)
    const bytes = Buffer.concat([Buffer.from('{"s":\n"a\n\xff"}', 'latin1'), Buffer.alloc(SCAN_PADDING)])
    throws(() => prover.careful(bytes, 0, bytes.length - SCAN_PADDING, { path: 'x', line: 5 }), 'bad-input', /'x' line 7: it is not UTF-8/)
  })

  const lexeme = fc.oneof(
    fc.constantFrom('1', '-0', '1.5', '1e2', '9223372036854775808', '"a"', '"2020-01-02 03:04:05"', '"\\n"', 'true', 'null', '[1]', '{"a":1}', '{"l":["x"]}', '{"a":1,"a":1}', '01', '', '"', 'nul', '0.5', '-12', '[1,]', '"\\ud800"'),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value)),
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String)
  )
  const key = fc.constantFrom('"i"', '"d"', '"s"', '"b"', '"j"', '"\\u0069"', '"é\\""', '"n"', '"st"', '"other"')
  const object = fc.tuple(fc.constantFrom('', ' ', '\t'), fc.array(fc.tuple(key, lexeme), { maxLength: 4 })).map(([space, pairs]) => `{${pairs.map(pair => pair.join(`${space}:${space}`)).join(`${space},${space}`)}${space}}`)

  it('agrees with the independent reader', async () => {
    const records = fc.array(fc.oneof({ weight: 5, arbitrary: object }, fc.constantFrom('', ' ', '\r', '{} ', 'x', '5')), { maxLength: 3 })
    const around = fc.constantFrom(['', '\n', ''], ['', '\n', ''], ['[', ',', ']'], ['[\n', ' ,\n ', '\n]\n'], ['', '', ''], ['', ' ', ''], ['[', ',', ''])
    await fc.assert(fc.asyncProperty(records, around, fc.boolean(), async (items, [open, between, close], lines) => {
      const content = `${open}${items.join(between)}${close}`
      const form: SourceForm = { format: lines ? 'ndjson' : 'json' }
      let found: number | string
      try {
        found = find(content, form, COLUMNS).records.length
      } catch (error) {
        found = (error as ConversionError).message
      }
      let read: number | string
      try {
        read = (await rowsOf({ bytes: Buffer.from(content) }, form, COLUMNS, { side: 'source' })).length
      } catch (error) {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        read = error.message
      }
      if (typeof found === 'number') assert.equal(found, read, content)
      // The reader compares numbers as doubles and rounds itself; the scanner has to refuse what the engine would round.
      else if (!/DOUBLE/.test(found)) assert.equal(typeof read, 'string', `${content}\nscanner: ${found}, reader: ${read}`)
    }), { numRuns: 3000 })
  })

  it('finds the same records wherever its data end', () => {
    const valid = fc.array(fc.oneof(ndjsonCase.map(content => content.split('\n').filter(line => line.trim() !== '')), fc.constant([])), { maxLength: 3 }).map(lists => lists.flat())
    fc.assert(fc.property(valid, fc.array(fc.nat(500), { maxLength: 6 }), fc.constantFrom('array', 'sequence', 'lines'), (records, ends, form) => {
      const names = new Set(records.flatMap(record => Object.keys(JSON.parse(record) as object)))
      const columns = Array.from(names, name => ({ name, type: 'JSON' }))
      const content = form === 'array' ? `[${records.join(' ,\n')}\n]` : records.join('\n')
      const { records: found } = find(content, { format: form === 'lines' ? 'ndjson' : 'json' }, columns, ends)
      assert.deepEqual(found, records.map(record => record.trim()))
    }), { numRuns: 300 })
  })
})
