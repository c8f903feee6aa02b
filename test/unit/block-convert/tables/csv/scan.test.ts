import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { SCAN_PADDING } from '../../../../../daemon/block-convert/tables/constants.ts'
import { copyPlain } from '../../../../../daemon/block-convert/tables/csv/line-ends.ts'
import { requireUtf8 } from '../../../../../daemon/block-convert/tables/csv/faults.ts'
import { Epochs } from '../../../../../daemon/block-convert/tables/csv/epochs.ts'
import { CsvScanner } from '../../../../../daemon/block-convert/tables/csv/scan.ts'
import { lexicalRule } from '../../../../../daemon/block-convert/tables/lexical.ts'
import type { Dialect } from '../../../../../daemon/block-convert/tables/schema.ts'
import { csvCase, rowsOf, withFolder } from '../cases.ts'

const DIALECT: Dialect = { delimiter: ',', quote: '"', escape: '"', header: false }

function padded (content: string | Uint8Array): { bytes: Uint8Array, end: number } {
  const data = Buffer.from(content as string)
  const bytes = new Uint8Array(data.length + SCAN_PADDING)
  bytes.set(data)
  return { bytes, end: data.length }
}

function scanner (types: string[], dialect = DIALECT): CsvScanner {
  return new CsvScanner({ epochs: new Epochs(types.map((type, i) => ({ name: `c${i}`, type, fixed: true }))), dialect, path: 'in.csv', line: 1 })
}

function scan (content: string | Uint8Array, types: string[], dialect = DIALECT): CsvScanner {
  const { bytes, end } = padded(content)
  const scanning = scanner(types, dialect)
  assert.equal(scanning.scan(bytes, 0, end, Infinity, true), end)
  return scanning
}

function refused (content: string | Uint8Array, types: string[], code: string, message: RegExp, details: Record<string, unknown> = {}): void {
  assert.throws(() => scan(content, types), (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    assert.ok(!error.message.includes('\n'), 'a message is one line')
    for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key)
    return true
  })
}

describe('tables: the CSV scanner', () => {
  it('counts records and lines, whatever the line ends', () => {
    for (const [content, records, line] of [
      ['a,b\nc,d\n', 2, 3], ['a,b\r\nc,d', 2, 3], ['a,b\rc,d\r', 2, 3], ['a,b\n\n\r\nc,d\n\n', 2, 6],
      ['"x\ny",b\n"p\r\nq",d\n', 2, 5], ['"a""b",\n,""\n', 2, 3], ['', 0, 1]
    ] as const) {
      const result = scan(content, ['VARCHAR', 'VARCHAR'])
      assert.deepEqual([result.records, result.line], [records, line], JSON.stringify(content))
    }
  })

  it('takes an empty line for a row where there is one column, and for nothing elsewhere', () => {
    assert.equal(scan('a\n\nb\n\n', ['VARCHAR']).records, 4)
    assert.equal(scan('\n', ['BIGINT']).records, 1)
    assert.equal(scan('a,b\n\nb,c\n\n', ['VARCHAR', 'VARCHAR']).records, 2)
  })

  it('marks line ends the engine would misread', () => {
    assert.equal(scan('a,b\r\nc,d\n', ['VARCHAR', 'VARCHAR']).mixedEnds, false)
    assert.equal(scan('a,b\nc,d\re,f\n', ['VARCHAR', 'VARCHAR']).mixedEnds, true)
    assert.equal(scan('a,b\n\rc,d\n', ['VARCHAR', 'VARCHAR']).mixedEnds, true)
    assert.equal(scan('a\r\nb\r\n', ['VARCHAR']).mixedEnds, true)
    assert.equal(scan('"\r"\n', ['VARCHAR']).mixedEnds, false)
  })

  it('stops at the first record that ends at or after the wanted place', () => {
    const { bytes, end } = padded('aa,b\n"c\nc",d\ne,f\n')
    const scanning = scanner(['VARCHAR', 'VARCHAR'])
    assert.equal(scanning.scan(bytes, 0, end, 1, true), 5)
    assert.equal(scanning.scan(bytes, 5, end, 6, true), 13)
    assert.equal(scanning.line, 4)
    assert.equal(scanning.scan(bytes, 13, end, 14, true), 17)
  })

  it('leaves an incomplete record for the next call', () => {
    for (const cut of ['a,"b', 'a,b', 'a,"b"', 'a,b\r', 'a', '"', 'a,"b""', '\r']) {
      const { bytes, end } = padded(cut)
      const scanning = scanner(['VARCHAR', 'VARCHAR'])
      assert.equal(scanning.scan(bytes, 0, end, Infinity, false), 0, JSON.stringify(cut))
      assert.deepEqual([scanning.records, scanning.line], [0, 1])
    }
  })

  it('finds the same records however the bytes arrive', () => {
    fc.assert(fc.property(csvCase, fc.nat(), ({ names, rows, dialect, content }, seed) => {
      const bytes = Buffer.from(content)
      const types = names.map(() => 'VARCHAR')
      const whole = scan(bytes, types, dialect)
      assert.equal(whole.records, rows.length + (dialect.header ? 1 : 0))
      const pieces = scanner(types, dialect)
      let at = 0
      let step = seed
      for (let end = 1; end <= bytes.length; end = Math.min(bytes.length, end + 1 + (step = (step * 31 + 7) % 11))) {
        const window = padded(bytes.subarray(0, end))
        at = pieces.scan(window.bytes, at, end, Infinity, end === bytes.length)
        if (end === bytes.length) break
      }
      assert.equal(at, bytes.length)
      assert.deepEqual([pieces.records, pieces.line], [whole.records, whole.line])
    }), { numRuns: 300 })
  })

  it('accepts of each type exactly what the lexical rules say, quoted or not', () => {
    const types = ['BIGINT', 'DECIMAL(5,2)', 'DECIMAL(18,0)', 'DECIMAL(2,2)', 'BOOLEAN', 'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ', 'DOUBLE']
    const near = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123456789-.:T Z+e'), minLength: 1, maxLength: 24 }),
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
      fc.constantFrom('007', '-0', '0', '+5', '1.0', '1e3', '1.', '.5', '-', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809',
        '123.45', '1234.5', '123.456', '0.25', '-0.2', '999.99', 'true', 'TRUE', 'tRUE', 'false', 'nan', 'inf', '-inf', '1e308', '1e309',
        '2020-02-29', '2021-02-29', '1900-02-29', '2000-02-29', '0000-01-01', '2020-13-01', '2020-04-31', '9999-12-31',
        '00:00:00', '24:00:00', '23:59:60', '12:34:56.1234567', '12:34:56.123456', '12:34',
        '2020-01-02 03:04:05', '2020-01-02T03:04:05.5', '2020-01-02 03:04:05.', '2020-01-02_03:04:05', '2020-01-02 25:00:00', '2020-01-02 03:04:05Z', '2020-01-02T03:04:05.25+02:30', '2020-01-02 03:04:05+2')
    )
    fc.assert(fc.property(fc.constantFrom(...types), near, fc.constantFrom('\n', ',\n', ',x\r\n', ''), fc.boolean(), (type, value, rest, quoted) => {
      const field = quoted ? `"${value}"` : value
      const content = `${field}${rest.startsWith(',') ? rest : `,${rest}`}`
      const good = lexicalRule(type)(value)
      if (good) assert.equal(scan(content, [type, 'VARCHAR']).records, 1)
      else refused(content, [type, 'VARCHAR'], 'contradiction', /line 1, column 'c0'/, { line: 1, column: 'c0', value, type })
    }), { numRuns: 2000 })
  })

  it('names file, line, column and value of a contradiction, and says what to do', () => {
    refused('1,a\n"2","x\ny"\n1.5,b\n', ['BIGINT', 'VARCHAR'], 'contradiction', /^'in\.csv' line 4, column 'c0': "1\.5" is not an exact BIGINT, the type it was given; use --set "type:c0=VARCHAR"/, { path: 'in.csv', line: 4, value: '1.5' })
    refused('"",a\n', ['DATE', 'VARCHAR'], 'contradiction', /a quoted empty field is not an exact DATE/)
  })

  it('refuses what is no CSV', () => {
    const two = ['VARCHAR', 'VARCHAR']
    refused('a,b\nc\n', two, 'bad-input', /line 2: .* has 1 fields instead of 2/, { line: 2, found: 1, expected: 2 })
    refused('a,b\nc,"d\n",e\n', two, 'bad-input', /has 3 fields instead of 2/, { found: 3 })
    refused('a,b,\n', two, 'bad-input', /has 3 fields/)
    refused('a,b\nc', two, 'bad-input', /has 1 fields/)
    refused('a,b\nc,"d\n', two, 'bad-input', /line 2: a quote opened on line 2 is never closed/)
    refused('a,"b"c\n', two, 'bad-input', /between a closing quote and the next delimiter/)
    refused('a, "b"\n', two, 'bad-input', /white space before a quote/)
    refused('a,b\0c\n', two, 'bad-input', /NUL/)
    refused('a,"b\0c"\n', two, 'bad-input', /NUL/)
    refused('a,\0', two, 'bad-input', /NUL/)
  })

  it('agrees with the independent reader on what is CSV, and how many records it has', async () => {
    const soup = fc.string({ unit: fc.constantFrom('a', '7', ',', ',', '"', '"', '\n', '\n', '\r', ' ', 'é'), maxLength: 14 })
    await fc.assert(fc.asyncProperty(soup, fc.integer({ min: 1, max: 3 }), async (content, columns) => {
      const types = Array.from({ length: columns }, (_, i) => i === 1 ? 'BIGINT' : 'VARCHAR')
      let records: number | string
      try {
        records = scan(content, types).records
      } catch (error) {
        records = (error as ConversionError).code
      }
      let read: number | string
      try {
        read = (await rowsOf({ bytes: Buffer.from(content) }, { format: 'csv', dialect: DIALECT }, types.map((type, i) => ({ name: `c${i}`, type })), { side: 'source' })).length
      } catch (error) {
        read = (error as ConversionError).code
      }
      // What the scanner lets pass, the reader reads the same. The reader takes white space before a quote, the scanner does not.
      if (typeof records === 'number') assert.equal(read, records)
      else if (!/(^|[,\r\n])[ ]+"/.test(content)) assert.equal(typeof read, 'string', `scanner: ${records}, reader: ${read}`)
    }), { numRuns: 3000 })
  })

  it('takes quotes inside an unquoted field as they stand', () => {
    assert.equal(scan('5" disk,b"\n', ['VARCHAR', 'VARCHAR']).records, 1)
  })

  it('finds the line that is not UTF-8', () => {
    assert.doesNotThrow(() => { requireUtf8(Buffer.from('é\n東\n'), 'x', 1) })
    assert.throws(() => { requireUtf8(Buffer.concat([Buffer.from('é\nx\n'), Buffer.from([0xff, 10])]), 'x.csv', 7) }, /'x\.csv' line 9: it is not UTF-8/)
  })

  it('makes line ends equal without touching what is quoted', async () => withFolder(async folder => {
    let copies = 0
    await fc.assert(fc.asyncProperty(csvCase, async ({ names, dialect, content }) => {
      const from = join(folder, 'from')
      const to = join(folder, `to-${copies++}`)
      await writeFile(from, content)
      const size = await copyPlain(from, to, dialect)
      const copy = await readFile(to)
      assert.equal(copy.length, size)
      const columns = names.map(name => ({ name, type: 'VARCHAR' }))
      const form = { format: 'csv', dialect: { ...dialect, header: false } } as const
      assert.deepEqual(await rowsOf({ bytes: copy }, form, columns), await rowsOf({ bytes: Buffer.from(content) }, form, columns))
    }), { numRuns: 100 })
  }))
})
