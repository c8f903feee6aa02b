/** The judge of the random tables and of the real files: what it must not let pass. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { acceptsField, acceptsJson, acceptsValue, claim } from '../../fuzz/accept.ts'
import { jsonText, types, values } from '../../fuzz/arbitrary.ts'
import { parseJson } from '../../fuzz/json.ts'
import { readCsv, readTable, type Given } from '../../fuzz/read.ts'
import { clockText, dateText, daysOf, exactNumber, momentText, parseClock, parseDate, parseMoment } from '../../fuzz/table.ts'
import { arrowBytes } from '../../fuzz/write-arrow.ts'

const field = (value: string): Given => ({ is: 'field', value })
const member = (text: string): Given => ({ is: 'member', value: parseJson(text) })

describe('fuzz: what counts as the same value', () => {
  it('is the text itself unless a type was claimed', () => {
    for (const [was, is] of [['1.5', '1.50'], ['True', 'true'], ['007', '7'], ['2024-01-01T00:00:00', '2024-01-01 00:00:00'], ['a', 'a ']] as const) {
      assert.ok(!acceptsField(was, field(is), claim('VARCHAR')), `${was} and ${is}`)
    }
    assert.ok(acceptsField('1.5', field('1.50'), claim('DECIMAL(18,2)')))
    assert.ok(!acceptsField('1.5', field('1.51'), claim('DECIMAL(18,2)')))
    assert.ok(!acceptsField('007', field('7'), claim('BIGINT')))
    assert.ok(acceptsField('True', field('true'), claim('BOOLEAN')))
    assert.ok(!acceptsField('True', field('false'), claim('BOOLEAN')))
    assert.ok(acceptsField('2024-01-01T00:00:00', field('2024-01-01 00:00:00'), claim('TIMESTAMP')))
    assert.ok(!acceptsField('2024-01-01T00:00:00', field('2024-01-01 00:00:01'), claim('TIMESTAMP')))
  })

  it('tells missing from empty', () => {
    assert.ok(!acceptsField(null, field(''), undefined))
    assert.ok(!acceptsField('', { is: 'null' }, undefined))
    assert.ok(!acceptsField(null, { is: 'absent' }, undefined))
    assert.ok(!acceptsValue({ kind: 'text' }, null, { is: 'text', value: '' }))
    assert.ok(!acceptsJson(parseJson('""'), { is: 'null' }, undefined))
  })

  it('knows types from each other', () => {
    assert.ok(!acceptsValue({ kind: 'integer', bits: 64, signed: true }, 1n, { is: 'float', value: 1, bits: 64 }))
    assert.ok(!acceptsValue({ kind: 'decimal', precision: 4, scale: 2 }, 150n, { is: 'decimal', value: 15n, scale: 1 }))
    assert.ok(!acceptsValue({ kind: 'timestamp', unit: 'us', zone: true }, 0n, { is: 'moment', nanos: 0n, zone: false }))
    assert.ok(!acceptsValue({ kind: 'float', bits: 64 }, -0, { is: 'float', value: 0, bits: 64 }))
    assert.ok(!acceptsValue({ kind: 'float', bits: 64 }, 0.1, field('0.10000000000000002')))
    assert.ok(!acceptsValue({ kind: 'text' }, '1', member('1')))
  })

  it('compares JSON by value', () => {
    assert.ok(acceptsJson(parseJson('{"a": [1.0, "x"]}'), { is: 'json', value: '{"a":[1,"x"]}' }, claim('JSON')))
    assert.ok(!acceptsJson(parseJson('{"a": [1.0, "x"]}'), { is: 'json', value: '{"a":["x",1]}' }, claim('JSON')))
    assert.ok(!acceptsJson(parseJson('{"a": null}'), { is: 'json', value: '{}' }, claim('JSON')))
    assert.ok(acceptsJson(parseJson('{"a": null, "b": 1}'), member('{"b": 1}'), claim('STRUCT("a" VARCHAR, "b" BIGINT)')))
    assert.ok(!acceptsJson(parseJson('{"a": 1, "b": 1}'), member('{"b": 1}'), claim('STRUCT("a" BIGINT, "b" BIGINT)')))
    assert.ok(!acceptsJson(parseJson('0.1000000000000000055511151231257827'), { is: 'float', value: 0.1, bits: 64 }, claim('DOUBLE')))
    fc.assert(fc.property(jsonText, jsonText, (a, b) => {
      assert.equal(acceptsJson(parseJson(`[${a}]`), member(`[${b}]`), claim('JSON')), exactText(a) === exactText(b))
    }))
  })

  it('reads its own texts of dates, times and numbers back', () => {
    fc.assert(fc.property(fc.bigInt({ min: -800_000n, max: 3_000_000n }), fc.bigInt({ min: 0n, max: 86_399_999_999_999n }), (days, nanos) => {
      assert.equal(parseDate(dateText(days)), days)
      assert.equal(parseClock(clockText(nanos)), nanos)
      assert.equal(parseMoment(momentText(days * 86_400_000_000_000n + nanos))?.nanos, days * 86_400_000_000_000n + nanos)
    }))
    fc.assert(fc.property(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), date => {
      assert.equal(dateText(BigInt(Math.floor(date.getTime() / 86_400_000))), date.toISOString().slice(0, 10))
    }))
    assert.equal(dateText(daysOf(-43n, 3n, 15n)), '0044-03-15 (BC)')
    assert.equal(exactNumber('1.500e3'), exactNumber('1500'))
    assert.notEqual(exactNumber('0.1'), exactNumber('0.10000000000000001'))
    assert.equal(exactNumber('.5'), undefined)
    assert.equal(exactNumber('007'), undefined)
  })

  it('tells a quoted empty field from a missing one', () => {
    assert.deepEqual(readCsv(Buffer.from('a,b\n,""\n'), { delimiter: ',', quote: '"', header: true }).rows, [[{ is: 'null' }, field('')]])
  })

  it('sees in an Arrow file what was written there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weft-fuzz-'))
    try {
      await fc.assert(fc.asyncProperty(types('arrow', { nested: true }).chain(type => fc.tuple(fc.constant(type), fc.array(fc.option(values(type)), { minLength: 1, maxLength: 5 }), fc.nat(5))), async ([type, column, style]) => {
        const path = join(folder, 'x.arrow')
        await writeFile(path, arrowBytes({ columns: [{ name: 'a', type }], rows: column.map(value => [value]) }, { batchRows: 2, styles: [style] }, 'file'))
        const { rows } = await readTable(path, 'arrow')
        for (const [i, [found]] of rows.entries()) assert.ok(acceptsValue(type, column[i]!, found!))
      }), { numRuns: 100 })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

/** A JSON text in one form, its numbers by their values; keys in one order. */
function exactText (text: string): string {
  return JSON.stringify(JSON.parse(text, ((_key: string, value: unknown, context: { source?: string }) => {
    if (typeof value === 'number') return `number ${exactNumber(context.source!)}`
    if (typeof value === 'string') return `text ${value}`
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => a < b ? -1 : 1)) : value
  }) as (this: unknown, key: string, value: unknown) => unknown))
}
