import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { firstRecord } from '../../../../../daemon/block-convert/tables/csv/reader.ts'
import type { ReadOptions } from '../../../../../daemon/block-convert/tables/readers/index.ts'
import type { Column, Dialect } from '../../../../../daemon/block-convert/tables/schema.ts'
import { dialect, Duck, read, text } from '../readers/duck.ts'

const bare: Dialect = { ...dialect, header: false }
const strings = (count: number): Column[] => Array.from({ length: count }, (_, i) => ({ name: `c${i}`, type: 'VARCHAR' }))
const parse = (csv: string, count: number, form: Dialect = bare, options: ReadOptions = {}): unknown[][] => read(text(csv), { format: 'csv', dialect: form }, strings(count), options)

function fails (csv: string, columns: Column[], code: string, line: number, message: RegExp, form: Dialect = bare): void {
  assert.throws(() => read(text(csv), { format: 'csv', dialect: form }, columns), (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.equal(error.details.line, line)
    return true
  })
}

describe('readers/csv', () => {
  it('reads records ended by LF, CR, CRLF or the end', () => {
    for (const end of ['\n', '\r', '\r\n']) {
      assert.deepEqual(parse(`a,b${end}c,d${end}`, 2), [['a', 'b'], ['c', 'd']])
      assert.deepEqual(parse(`a,b${end}c,d`, 2), [['a', 'b'], ['c', 'd']])
    }
    assert.deepEqual(parse('a,b\rc,d\ne,f\r\ng,h', 2), [['a', 'b'], ['c', 'd'], ['e', 'f'], ['g', 'h']])
  })

  it('tells NULL from the empty string', () => {
    assert.deepEqual(parse(',""\n"",\n', 2), [[null, ''], ['', null]])
    assert.deepEqual(parse('""\n\n"x"\n', 1), [[''], [null], ['x']])
  })

  it('skips empty lines, unless they are the NULL of a single column', () => {
    assert.deepEqual(parse('\n\na,b\r\n\r\nc,d\n\n', 2), [['a', 'b'], ['c', 'd']])
    assert.deepEqual(parse('a\n\nb\n\n', 1), [['a'], [null], ['b'], [null]])
    assert.deepEqual(parse('a\n\nb', 1), [['a'], [null], ['b']])
    assert.deepEqual(parse('', 1), [])
    assert.deepEqual(parse('\n', 1), [[null]])
  })

  it('reads quoted fields with delimiters, line ends and quotes', () => {
    assert.deepEqual(parse('"a,b","say ""hi"""\n"two\r\nlines",""""\n', 2), [['a,b', 'say "hi"'], ['two\r\nlines', '"']])
    assert.deepEqual(parse("'it''s'|5\" pipe\n", 2, { ...bare, quote: "'", escape: "'", delimiter: '|' }), [["it's", '5" pipe']])
    assert.deepEqual(parse('"a\\"b\\\\"\n', 1, { ...bare, escape: '\\' }), [['a"b\\']])
    assert.deepEqual(parse('"a\\n\\,",b\\"c\n', 2, { ...bare, escape: '\\' }), [['a\\n\\,', 'b\\"c']])
    assert.deepEqual(parse('"a",""\n\'b,\n', 2, { ...bare, quote: '', escape: '' }), [['"a"', '""'], ["'b", null]])
  })

  it('passes over comments, before the header too', () => {
    const form = { ...bare, comment: '#' }
    assert.deepEqual(parse('#x,y\na,b\n#\r\n"#c",d\r#"\ne,#\n#end', 2, form), [['a', 'b'], ['#c', 'd'], ['e', '#']])
    assert.deepEqual(parse('# "title\r\n#\nx,y\n1,2\n', 2, { ...form, header: true }), [['1', '2']])
    for (let chunkBytes = 1; chunkBytes < 12; chunkBytes++) assert.deepEqual(parse('a\n#1\r\n#2\r#3\n\nb', 1, form, { chunkBytes }), [['a'], [null], ['b']])
  })

  it('gives NULL for the columns that are not present', () => {
    assert.deepEqual(parse('a,b\nc,d\n', 4, bare, { present: [3, 1] }), [[null, 'b', null, 'a'], [null, 'd', null, 'c']])
  })

  it('takes a delimiter that values may hold for a delimiter', () => {
    assert.deepEqual(read(text('12 34\n5 7\n'), { format: 'csv', dialect: { ...bare, delimiter: ' ' } }, [{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'BIGINT' }]), [[12, 34], [5, 7]])
    assert.deepEqual(read(text('1.2\n'), { format: 'csv', dialect: { ...bare, delimiter: '.' } }, [{ name: 'a', type: 'DECIMAL(18,1)' }, { name: 'b', type: 'BIGINT' }]), [[10, 2]])
    assert.deepEqual(read(text('"2020-01-02 03:04:05":1\n'), { format: 'csv', dialect: { ...bare, delimiter: ':' } }, [{ name: 'a', type: 'TIMESTAMP' }, { name: 'b', type: 'BIGINT' }]).map(row => row[1]), [1])
  })

  it('passes over a header, also of several lines, and a byte order mark', () => {
    assert.deepEqual(parse('\ufeffa,"b\nc"\n1,2\n', 2, dialect), [['1', '2']])
    assert.deepEqual(parse('a,b\n', 2, dialect), [])
    assert.deepEqual(parse('a,b', 2, dialect), [])
  })

  it('names file, line, column and value of a contradiction', () => {
    const columns = [{ name: 'id', type: 'BIGINT' }, { name: 'note', type: 'VARCHAR' }]
    fails('1,"a\nb"\r\n2,x\n007,y\n', columns, 'contradiction', 4, /line 4, column 'id': "007" is not BIGINT/)
    assert.throws(() => read(text('x,\n'), { format: 'csv', dialect: bare }, columns, { path: '/data/in.csv', firstLine: 17 }), (error: unknown) => {
      assert.deepEqual((error as ConversionError).details, { path: '/data/in.csv', line: 17, column: 'id', value: 'x', type: 'BIGINT' })
      return true
    })
    fails('id,note\n1,\nx,\n', columns, 'contradiction', 3, /line 3/, dialect)
  })

  it('refuses what is no table', () => {
    fails('a,b\nc\n', strings(2), 'bad-input', 2, /only 1 of 2 fields: "c"/)
    fails('a,b\nc,d,e\n', strings(2), 'bad-input', 2, /more than 2 of 2 fields/)
    fails('a,b,\n', strings(2), 'bad-input', 1, /more than 2/)
    fails('a,"b\n\n', strings(2), 'bad-input', 1, /does not end/)
    fails('a,b\n"c"d,e\n', strings(2), 'bad-input', 2, /after a closing quote/)
    assert.throws(() => read({ bytes: new Uint8Array([0x61, 0xff, 0x0a]) }, { format: 'csv', dialect: bare }, strings(1)), /not UTF-8/)
    assert.throws(() => read({ bytes: new Uint8Array([0x61, 0x0a, 0xc3]) }, { format: 'csv', dialect: bare }, strings(1)), /not UTF-8/)
  })

  const cell = fc.oneof(
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant('') },
    { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom('a', 'b', ',', '"', '\n', '\r', '\r\n', ' ', 'ü', '東', '𝄞'), maxLength: 12 }) }
  )
  const table = fc.integer({ min: 1, max: 4 }).chain(width => fc.array(fc.array(cell, { minLength: width, maxLength: width }), { maxLength: 20 }).map(rows => ({ width, rows })))

  it('reads any table as it was written, whatever the pieces', () => {
    fc.assert(fc.property(table, fc.constantFrom('\n', '\r\n', '\r'), fc.boolean(), fc.boolean(), fc.integer({ min: 1, max: 40 }), ({ width, rows }, end, always, trailing, chunkBytes) => {
      const field = (value: string | null): string => {
        if (value === null) return ''
        const quoted = always || value === '' || /[",\r\n]/.test(value)
        return quoted ? `"${value.replaceAll('"', '""')}"` : value
      }
      const lines = rows.map(row => row.map(field).join(','))
      // without a line end the last record of a single NULL would not be there
      const closed = trailing || lines.at(-1) === ''
      const csv = lines.join(end) + (closed && lines.length > 0 ? end : '')
      assert.deepEqual(parse(csv, width, bare, { chunkBytes }), rows)
    }), { numRuns: 400 })
  })

  it('agrees with DuckDB', async () => {
    const duck = await Duck.open()
    try {
      await fc.assert(fc.asyncProperty(table, async ({ width, rows }) => {
        const path = duck.path('any.csv')
        const field = (value: string | null): string => value === null ? '' : `"${value.replaceAll('"', '""')}"`
        writeFileSync(path, rows.map(row => `${row.map(field).join(',')}\n`).join(''))
        const types = Array.from({ length: width }, (_, i) => `c${i}: 'VARCHAR'`).join(', ')
        const theirs = await duck.rows(`select * from read_csv('${path}', columns = {${types}}, header = false, auto_detect = false, delim = ',', quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false, comment = '', strict_mode = false, parallel = false)`)
        assert.deepEqual(read({ path, size: 0 }, { format: 'csv', dialect: bare }, strings(width)), theirs)
      }), { numRuns: 60 })
    } finally {
      duck.close()
    }
  })

  it('reads a range of rows', () => {
    const rows = Array.from({ length: 10_000 }, (_, i) => [String(i)])
    const csv = rows.map(([value]) => `${value}\n`).join('')
    assert.deepEqual(parse(csv, 1), rows)
    assert.deepEqual(parse(csv, 1, bare, { rows: [4095, 8193] }), rows.slice(4095, 8193))
    assert.deepEqual(parse(csv, 1, bare, { rows: [9998, 20_000] }), rows.slice(9998))
    assert.deepEqual(parse(csv, 1, bare, { rows: [5, 5] }), [])
  })

  it('finds the first record of a text', () => {
    assert.deepEqual(firstRecord('a,"b\nc",\nrest', dialect, false), { fields: ['a', 'b\nc', null], end: 9 })
    assert.equal(firstRecord('a,b', dialect, false), undefined)
    assert.equal(firstRecord('a,b\r', dialect, false), undefined)
    assert.equal(firstRecord('a,"b\n', dialect, false), undefined)
    assert.deepEqual(firstRecord('a,b', dialect, true), { fields: ['a', 'b'], end: 3 })
  })
})
