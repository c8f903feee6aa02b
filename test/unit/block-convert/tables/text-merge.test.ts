import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import type { BlockSource } from '../../../../daemon/block-convert/index.ts'
import type { Column, TableParameters, TargetForm } from '../../../../daemon/block-convert/tables/schema.ts'
import { headerLine, textMerger, textPieces } from '../../../../daemon/block-convert/tables/text-merge.ts'
import { dialect, Duck, text } from './readers/duck.ts'

const columns: Column[] = [{ name: 'a', type: 'VARCHAR' }, { name: 'b, "c"', type: 'VARCHAR' }]
const HEADER = 'a,"b, ""c"""\n'
const csvForm: TargetForm = { format: 'csv', dialect }

function merge (target: TargetForm, parts: BlockSource[], names = columns): string {
  const params: TableParameters = { columns: names, source: { format: 'parquet' }, target }
  const merger = textMerger(params)
  const out = [...merger.start() as Iterable<Uint8Array>]
  for (const part of parts) out.push(...merger.add(part) as Iterable<Uint8Array>)
  out.push(...merger.end() as Iterable<Uint8Array>)
  return Buffer.concat(out).toString('utf8')
}

describe('text-merge', () => {
  it('writes the header once', () => {
    assert.equal(merge(csvForm, [text(`${HEADER}1,2\n`), text(HEADER), text(`${HEADER}3,4\n5,6\n`)]), `${HEADER}1,2\n3,4\n5,6\n`)
    assert.equal(merge({ format: 'csv', dialect: { ...dialect, header: false } }, [text('1,2\n'), text('3,4\n')]), '1,2\n3,4\n')
    assert.equal(merge({ format: 'ndjson' }, [text('{"a":1}\n'), text(''), text('{"a":2}\n')]), '{"a":1}\n{"a":2}\n')
  })

  it('ends every part with a line end', () => {
    assert.equal(merge(csvForm, [text(`${HEADER}1,2`), text(`${HEADER}3,4\r\n`), text(`${HEADER}5,6`)]), `${HEADER}1,2\n3,4\r\n5,6\n`)
    assert.equal(merge({ format: 'ndjson' }, [text('{"a":1}'), text('{"a":2}')]), '{"a":1}\n{"a":2}\n')
    assert.equal(merge(csvForm, [text('a,"b, ""c"""')]), HEADER)
  })

  it('gives a valid empty output for no parts', () => {
    assert.equal(merge(csvForm, []), HEADER)
    assert.equal(merge({ format: 'ndjson' }, []), '')
  })

  it('puts an array around JSON', () => {
    const json: TargetForm = { format: 'json' }
    assert.equal(merge(json, [text('{"a":1},\n{"a":2}'), text(''), text('{"a":3}')]), '[\n{"a":1},\n{"a":2},\n{"a":3}\n]\n')
    assert.equal(merge(json, [text(''), text('{"a":1}')]), '[\n{"a":1}\n]\n')
    for (const parts of [[], [text('')], [text(''), text('')]]) assert.equal(merge(json, parts), '[]\n')
  })

  it('puts pieces around parts as it tells', () => {
    const part = fc.nat(3).map(rows => Array.from({ length: rows }, (_, i) => i))
    fc.assert(fc.property(fc.array(part, { maxLength: 5 }), fc.constantFrom<TargetForm>({ format: 'json' }, { format: 'ndjson' }, csvForm), (parts, target) => {
      const { start, between, end, empty } = textPieces({ columns, source: { format: 'parquet' }, target })
      const body = (rows: number[]): string => target.format === 'json' ? rows.map(i => `{"a":${i}}`).join(',\n') : rows.map(i => target.format === 'csv' ? `${i},\n` : `{"a":${i}}\n`).join('')
      const filled = parts.map(body).filter(rows => rows !== '')
      const wanted = filled.length === 0 ? Buffer.from(empty).toString() : `${Buffer.from(start).toString()}${filled.join(Buffer.from(between).toString())}${Buffer.from(end).toString()}`
      assert.equal(merge(target, parts.map(rows => text((target.format === 'csv' ? HEADER : '') + body(rows)))), wanted)
    }))
  })

  it('begins again', () => {
    const merger = textMerger({ columns, source: { format: 'parquet' }, target: { format: 'json' } })
    const all = (): string => Buffer.concat([merger.start(), merger.add(text('{}')), merger.end()].flatMap(chunks => [...chunks as Iterable<Uint8Array>])).toString()
    assert.equal(all(), '[\n{}\n]\n')
    assert.equal(all(), '[\n{}\n]\n')
  })

  it('takes the same header written in another way', () => {
    assert.equal(merge(csvForm, [text('"a","b, ""c"""\r\n1,2\n')]), `${HEADER}1,2\n`)
    const wide = Array.from({ length: 500 }, (_, i) => ({ name: `${'column é'.repeat(20)} ${i}`, type: 'BIGINT' }))
    const quoted = `${wide.map(column => `"${column.name}"`).join(',')}\n`
    assert.equal(merge(csvForm, [text(`${quoted}rest\n`)], wide), `${Buffer.from(headerLine(wide, dialect)).toString()}rest\n`)
  })

  it('refuses a part without its header, or with another one', () => {
    for (const [part, message] of [['', /it is empty/], ['1,2\n', /column 1 is "1" instead of "a"/], ['a,b\n', /column 2 is "b"/], ['a\n', /column 2 is null/], ['a,"b, ""c""",d\n', /3 columns instead of 2/], ['a,"b', /does not end/]] as Array<[string, RegExp]>) {
      assert.throws(() => merge(csvForm, [text(part)]), (error: unknown) => {
        assert.ok(error instanceof ConversionError)
        assert.equal(error.code, 'bad-input')
        assert.match(error.message, message)
        return true
      })
    }
  })

  it('is associative', () => {
    const part = fc.array(fc.constantFrom('1,2\n', 'x,"y\nz"\n', ',""\n'), { maxLength: 4 }).map(lines => HEADER + lines.join(''))
    fc.assert(fc.property(part, part, part, (a, b, c) => {
      const flat = merge(csvForm, [text(a), text(b), text(c)])
      assert.equal(merge(csvForm, [text(merge(csvForm, [text(a), text(b)])), text(c)]), flat)
      assert.equal(merge(csvForm, [text(a), text(merge(csvForm, [text(b), text(c)]))]), flat)
      assert.equal(merge(csvForm, [text(merge(csvForm, [])), text(a), text(b), text(c)]), flat)
    }))
  })

  it('quotes names so that DuckDB reads them back', async () => {
    const duck = await Duck.open()
    try {
      const names = ['plain', 'with space', 'a,b', 'quote "x"', 'line\nend', 'ü', ' padded ', "it's"]
      const written = await duck.copy(`select ${names.map((name, i) => `${i} as "${name.replaceAll('"', '""')}"`).join(', ')}`, 'names.csv', 'format csv, header true')
      const params: TableParameters = { columns: names.map(name => ({ name, type: 'BIGINT' })), source: { format: 'parquet' }, target: csvForm }
      const merger = textMerger(params)
      assert.equal(Buffer.concat([...merger.add({ path: written, size: 0 }) as Iterable<Uint8Array>]).toString(), '0,1,2,3,4,5,6,7\n')
    } finally {
      duck.close()
    }
  })
})
