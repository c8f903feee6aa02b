import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Epochs, widerType } from '../../../../../daemon/block-convert/tables/csv/epochs.ts'
import { lexicalRule } from '../../../../../daemon/block-convert/tables/lexical.ts'
import { parameters, refused, split } from './helpers.ts'

describe('tables: schema epochs of CSV', () => {
  it('go up a chain of exact types', () => {
    for (const [type, value, wider] of [
      ['BIGINT', '1.5', 'DECIMAL(38,3)'], ['BIGINT', '0.12345678901234567', 'DECIMAL(38,19)'], ['BIGINT', '0.12345678901234567890', 'VARCHAR'],
      ['BIGINT', '9223372036854775808', 'DECIMAL(38,0)'], ['BIGINT', '1'.repeat(38), 'DECIMAL(38,0)'], ['BIGINT', '1'.repeat(39), 'VARCHAR'],
      ['BIGINT', '007', 'VARCHAR'], ['BIGINT', '1e3', 'VARCHAR'], ['BIGINT', '', 'VARCHAR'], ['BIGINT', 'n/a', 'VARCHAR'],
      ['DECIMAL(18,2)', '1.234', 'DECIMAL(38,5)'], ['DECIMAL(18,2)', '12345678901234567', 'DECIMAL(38,2)'], ['DECIMAL(38,2)', '1.234', 'VARCHAR'],
      ['DECIMAL(18,2)', '1.50e1', 'VARCHAR'], ['DATE', '2020-01-01 00:00:00', 'VARCHAR'], ['TIMESTAMP', '2020-01-01', 'VARCHAR'],
      ['BOOLEAN', '1', 'VARCHAR'], ['TIME', '1:00', 'VARCHAR']
    ] as const) assert.equal(widerType(type, value), wider, `${type} and ${value}`)
  })

  it('hold every value of the narrower type, and the new one', () => {
    const digits = (min: number, max: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: min, maxLength: max })
    const number = fc.tuple(fc.constantFrom('', '-'), fc.oneof(fc.constant('0'), digits(1, 20).filter(text => !text.startsWith('0'))), fc.option(digits(1, 20)))
      .map(([sign, whole, fraction]) => `${sign}${whole}${fraction == null ? '' : `.${fraction}`}`)
    const types = fc.oneof(fc.constant('BIGINT'), fc.integer({ min: 1, max: 38 }).chain(precision => fc.nat(precision).map(scale => `DECIMAL(${precision},${scale})`)))
    fc.assert(fc.property(types, number, number, (type, old, value) => {
      fc.pre(lexicalRule(type)(old) && !lexicalRule(type)(value))
      const holds = lexicalRule(widerType(type, value))
      assert.ok(holds(old) && holds(value), `${type} -> ${widerType(type, value)}`)
    }), { numRuns: 2000 })
  })

  it('end with text at the second change, and give all overrides each time', () => {
    const epochs = new Epochs([{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'DATE' }])
    assert.equal(epochs.take(), undefined)
    epochs.widen(0, '1.5', 'in.csv', 7)
    assert.deepEqual(epochs.take(), {
      widen: { types: { 0: 'DECIMAL(38,3)' } },
      note: { code: 'schema-widened', message: "column 'a' is DECIMAL(38,3) instead of BIGINT because of \"1.5\" in 'in.csv' line 7", input: 'in.csv', columns: ['a'], count: 1 }
    })
    epochs.widen(1, 'x', 'in.csv', 8)
    epochs.widen(0, '1.23456', 'in.csv', 9)
    const { widen, note } = epochs.take()!
    assert.deepEqual([widen, note.columns, note.count], [{ types: { 0: 'VARCHAR', 1: 'VARCHAR' } }, ['b', 'a'], 2])
    assert.equal(epochs.take(), undefined)
  })

  it('come before the block that needs them, and only before that', async () => {
    const params = parameters({ a: 'BIGINT', b: 'DATE' })
    const { items, blocks } = await split({ 'in.csv': 'a,b\n1,2020-01-01\n2,2020-01-02\n3.5,2020-01-03\n4,2020-01-04\nx,never\n6,\n' }, params, 1)
    assert.deepEqual(items.map(item => 'widen' in item ? item.widen.types : 'note' in item ? item.note.code : item.index),
      [0, 1, { 0: 'DECIMAL(38,3)' }, 2, 3, { 0: 'VARCHAR', 1: 'VARCHAR' }, 4, 5])
    assert.equal(blocks[2], 'a,b\n3.5,2020-01-03\n')
    // What the caller gave stays as it was.
    assert.deepEqual(params.columns.map(({ type }) => type), ['BIGINT', 'DATE'])
  })

  it('gather what one block needs, and name column, types, value and line', async () => {
    const { items, notes } = await split({ 'in.csv': 'a,b\n1,2\n"two\nlines",3.5\n' }, parameters({ a: 'BIGINT', b: 'BIGINT' }))
    assert.deepEqual(items.map(item => 'widen' in item), [true, false])
    assert.equal(notes[0]!.message, "column 'a' is VARCHAR instead of BIGINT because of \"two\\nlines\" in 'in.csv' line 3; column 'b' is DECIMAL(38,3) instead of BIGINT because of \"3.5\" in 'in.csv' line 4")
  })

  it('go on from one input to the next, by the positions of the job', async () => {
    const { items } = await split({ 'a.csv': 'x,y\n1,1.5\n', 'b.csv': 'y\n7\n2.25\n', 'c.csv': 'y,x\n1.125,z\n' }, parameters({ x: 'BIGINT', y: 'BIGINT' }))
    assert.deepEqual(items.map(item => 'widen' in item ? item.widen.types : 'note' in item ? item.note.code : item.slice?.present),
      [{ 1: 'DECIMAL(38,3)' }, undefined, [1], { 0: 'VARCHAR', 1: 'DECIMAL(38,3)' }, [1, 0]])
  })

  it('are an error where the type was given, with place and way out', async () => {
    await refused(split({ 'in.csv': 'a,b\n1,2\n3,x\n' }, parameters({ a: 'BIGINT', b: 'BIGINT!' })), 'contradiction',
      /in\.csv' line 3, column 'b': "x" is not an exact BIGINT, the type it was given; use --set "type:b=VARCHAR"/, { line: 3, column: 'b', value: 'x', type: 'BIGINT' })
    await refused(split({ 'in.csv': `a,b\n1,"${'x'.repeat(100_000)}"\n` }, parameters({ a: 'BIGINT', b: 'BIGINT!' })), 'contradiction', /^.{1,400}$/)
  })
})
