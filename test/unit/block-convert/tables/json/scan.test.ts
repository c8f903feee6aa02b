import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { SCAN_PADDING } from '../../../../../daemon/block-convert/tables/constants.ts'
import { NdjsonScanner } from '../../../../../daemon/block-convert/tables/json/scan.ts'
import type { Column } from '../../../../../daemon/block-convert/tables/schema.ts'
import { ndjsonCase, rowsOf } from '../cases.ts'

const COLUMNS: Column[] = [
  { name: 'i', type: 'BIGINT' }, { name: 'd', type: 'DOUBLE' }, { name: 's', type: 'VARCHAR' }, { name: 'b', type: 'BOOLEAN' }, { name: 'j', type: 'JSON' },
  { name: 'é"', type: 'TIMESTAMP' }, { name: 'n', type: 'DECIMAL(5,2)' }
]

function scan (content: string, columns = COLUMNS, last = true): NdjsonScanner & { at: number } {
  const data = Buffer.from(content)
  const bytes = new Uint8Array(data.length + SCAN_PADDING)
  bytes.set(data)
  const scanner = new NdjsonScanner({ columns, path: 'in.ndjson', line: 1 })
  return Object.assign(scanner, { at: scanner.scan(bytes, 0, data.length, Infinity, last) })
}

function refused (content: string, code: string, message: RegExp): void {
  assert.throws(() => scan(content), (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}

describe('tables: the NDJSON scanner', () => {
  it('counts objects and lines, blank lines and keys in any order included', () => {
    const content = '{"i":1,"s":"a"}\n\n  {"s" : "b\\n\\u00e9", "i" : null}\r\n{}\r\n\r\n{"\\u0069":2,"b":true,"j":[1,{"x":"}"}]}'
    const result = scan(content)
    assert.deepEqual([result.records, result.line, result.at], [4, 7, Buffer.byteLength(content)])
  })

  it('leaves an incomplete line for the next call', () => {
    const result = scan('{"i":1}\n{"i":', COLUMNS, false)
    assert.deepEqual([result.records, result.at], [1, 8])
  })

  it('takes exact values of each type', () => {
    for (const pair of [
      '"i":9223372036854775807', '"i":-9223372036854775808', '"i":0', '"d":1.5', '"d":1e300', '"d":-7', '"d":0.1', '"d":40326814172311130', '"s":""', '"s":"\\ud83d\\ude00"', '"b":false',
      '"j":123456789012345678901234567890', '"j":"x"', '"j":{"a":[]}', '"j":0.1', '"é\\"":"2020-01-02T03:04:05"', '"n":1.25', '"n":-999'
    ]) assert.equal(scan(`{${pair}}`).records, 1, pair)
  })

  it('names a value that contradicts its column', () => {
    for (const pair of [
      '"i":"5"', '"i":1.5', '"i":1.0', '"i":1e3', '"i":9223372036854775808', '"i":true', '"d":"1"', '"d":9007199254740993', '"d":-0', '"d":1e400', '"s":5', '"s":{}', '"b":"true"', '"b":1',
      '"é\\"":"2020-01-02"', '"é\\"":20', '"n":1.255', '"n":"1.25"', '"n":1000'
    ]) refused(`{"i":1}\n{${pair}}`, 'contradiction', /^'in\.ndjson' line 2, column '.*is not an exact .*--set "type:/)
  })

  it('says so if a number of a JSON column would be rounded', () => {
    refused('{"j":0.1234567890123456789}', 'unsupported', /line 1, column 'j': .*more digits than can be kept/)
    refused('{"j":[{"a":1.00000000000000000001}]}', 'unsupported', /more digits/)
  })

  it('says so if a number of a DECIMAL column would be rounded', () => {
    const wide: Column[] = [{ name: 'n', type: 'DECIMAL(38,9)' }]
    const exact = ['1234.123456789', '-999999.999999999', '0.5', '12345678901234567890123456789', '-1', '1.0']
    assert.equal(scan(exact.map(lexeme => `{"n":${lexeme}}`).join('\n'), wide).records, exact.length)
    for (const lexeme of ['1234567890123456.7891', '-1234567.5', '12345678901234567890.123456789']) {
      assert.throws(() => scan(`{"n":1}\n{"n":${lexeme}}`, wide), (error: unknown) => error instanceof ConversionError && error.code === 'unsupported' && /line 2, column 'n': .*more than 15 digits at the scale of DECIMAL\(38,9\)/.test(error.message), lexeme)
    }
  })

  it('never drops a key', () => {
    refused('{"i":1}\n{"i":1,"extra":2}', 'contradiction', /line 2, key "extra" was in no sample; declare it with --set "type:extra=JSON"/)
    refused('{"i":1,"i":1}', 'bad-input', /key "i" stands twice/)
    refused('{"i":1,"s":"x","\\u0069":null}', 'bad-input', /twice/)
  })

  it('refuses what is not one object per line', () => {
    for (const line of ['[1]', '5', 'null', '"x"', '\0']) refused(line, 'bad-input', /is not an object/)
    for (const line of ['{"i":1', '{"i":01}', '{"i":1,}', '{"i" 1}', '{i:1}', '{"i":1} {"i":2}', '{"s":"a\tb"}', '{"s":"\\x"}', '{"b":tru}', '{"i":1}}', '{"j":[1,]}']) refused(line, 'bad-input', /not JSON at character/)
    refused('{"s":"\\ud83d"}', 'bad-input', /surrogate/)
  })

  it('agrees with the independent reader', async () => {
    const lexeme = fc.oneof(
      fc.constantFrom('1', '-0', '1.5', '1e2', '9223372036854775808', '"a"', '"2020-01-02 03:04:05"', '"\\n"', 'true', 'null', '[1]', '{"a":1}', '01', '', '"', 'nul', '0.5', '-12'),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value)),
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String)
    )
    const key = fc.constantFrom('"i"', '"d"', '"s"', '"b"', '"j"', '"\\u0069"', '"é\\""', '"n"', '"other"')
    const line = fc.array(fc.tuple(key, lexeme), { maxLength: 4 }).map(pairs => `{${pairs.map(pair => pair.join(':')).join(',')}}`)
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof({ weight: 5, arbitrary: line }, fc.constantFrom('', ' ', '\r', '{} ', 'x')), { maxLength: 3 }), async lines => {
      const content = lines.join('\n')
      let records: number | string
      try {
        records = scan(content).records
      } catch (error) {
        records = (error as ConversionError).message
      }
      let read: number | string
      try {
        read = (await rowsOf({ bytes: Buffer.from(content) }, { format: 'ndjson' }, COLUMNS, { side: 'source' })).length
      } catch (error) {
        read = (error as ConversionError).message
      }
      if (typeof records === 'number') assert.equal(records, read)
      // The reader compares numbers as doubles and rounds itself; the scanner has to refuse what the engine would round.
      else if (!/DOUBLE|column 'j'/.test(records)) assert.equal(typeof read, 'string', `scanner: ${records}, reader: ${read}`)
    }), { numRuns: 2000 })
  })

  it('passes every generated table whose types it was given', () => {
    fc.assert(fc.property(ndjsonCase, content => {
      const names = new Set<string>()
      for (const line of content.split('\n')) if (line.trim() !== '') for (const key of Object.keys(JSON.parse(line) as object)) names.add(key)
      const columns = Array.from(names, name => ({ name, type: 'JSON' }))
      assert.equal(scan(content, columns).records, content.split('\n').filter(line => line.trim() !== '').length)
    }), { numRuns: 200 })
  })
})
