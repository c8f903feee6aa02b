import assert from 'node:assert/strict'
import { BLOCK_PARTS_MAX } from '../../../../../daemon/block-convert/tables/constants.ts'
import { DIALECT, parameters, refused, split } from './helpers.ts'

const TYPES = { a: 'BIGINT', b: 'BIGINT', c: 'VARCHAR' }

describe('tables: ragged CSV records', () => {
  it('are an error that names line, fields and the setting', async () => {
    await refused(split({ 'in.csv': 'a,b,c\n1,2,"x\ny"\n1,2\n' }, parameters(TYPES)), 'bad-input', /line 4 has 2 fields instead of 3; .*--set ragged=pad or ragged=skip/, { line: 4, found: 2, expected: 3 })
  })

  it('are padded, or cut if what is too much is empty', async () => {
    const { blocks, notes, recipes } = await split({ 'in.csv': 'a,b,c\r\n1,2\r\n3,4,five,,""\n\n6\r7,8,"nine\n",\n,,' }, parameters({ ...TYPES }, { ragged: 'pad' }))
    assert.deepEqual(blocks, ['a,b,c\n1,2,\r\n3,4,five\n\n6,,\r7,8,"nine\n"\n,,'])
    assert.equal(recipes[0]!.units, 5)
    assert.deepEqual(notes.map(({ code, message, input, count }) => [code, message, input, count]), [
      ['rows-padded', "'in.csv': 2 records had fewer fields than there are columns; the last values are missing (lines 2, 5)", 'in.csv', 2],
      ['rows-cut', "'in.csv': 2 records had more fields than there are columns; the surplus ones, all empty, were left out (lines 3, 6)", 'in.csv', 2]
    ])
    await refused(split({ 'in.csv': 'a,b,c\n1,2,3,,4\n' }, parameters(TYPES, { ragged: 'pad' })), 'bad-input', /line 2 has 5 fields instead of 3, and the surplus ones are not empty; .*ragged=skip/)
  })

  it('are left out, and their values make no column wider', async () => {
    const { blocks, items, notes } = await split({ 'in.csv': `a,b,c\n${'Total,\n'.repeat(7)}1,2,x\n"sum\n",,,\n3,4,y\nend` }, parameters(TYPES, { ragged: 'skip' }))
    assert.deepEqual(blocks, ['a,b,c\n1,2,x\n3,4,y\n'])
    assert.ok(items.every(item => !('widen' in item)))
    assert.equal(notes[0]!.message, "'in.csv': 9 records had fewer or more fields than there are columns and were left out (lines 2, 3, 4, 5, 6, ...)")
    assert.deepEqual((await split({ 'in.csv': 'a,b,c\n1\n2\n' }, parameters(TYPES, { ragged: 'skip' }))).recipes, [])
    // What is no CSV at all stays an error.
    await refused(split({ 'in.csv': 'a,b,c\n1,"2" 3\n' }, parameters(TYPES, { ragged: 'skip' })), 'bad-input', /after|between a closing quote/)
  })

  it('that are padded do make columns wider', async () => {
    const { items, blocks } = await split({ 'in.csv': 'a,b,c\nTotal\n' }, parameters(TYPES, { ragged: 'pad' }))
    assert.deepEqual([items.flatMap(item => 'widen' in item ? [item.widen.types] : []), blocks], [[{ 0: 'VARCHAR' }], ['a,b,c\nTotal,,\n']])
  })

  it('of one column keep their empty value', async () => {
    for (const [content, block] of [['a\nx,\n,', 'a\nx\n\n'], ['a\n,\n\n', 'a\n\n\n']] as const) {
      assert.deepEqual((await split({ 'in.csv': content }, parameters({ a: 'VARCHAR' }, { ragged: 'pad' }))).blocks, [block])
    }
  })

  it('and comments end a block before its recipe grows too long', async () => {
    const lines = Array.from({ length: 3 * BLOCK_PARTS_MAX }, (_, i) => i % 2 === 0 ? `${i},1\n` : '#\n').join('')
    for (const bytes of [50, 1e9]) {
      const { recipes, blocks } = await split({ 'in.csv': `a,b,c\n${lines}` }, parameters(TYPES, { ragged: 'pad', dialect: { ...DIALECT, comment: '#' } }), bytes)
      for (const { parts } of recipes) assert.ok(parts.length < 1.5 * BLOCK_PARTS_MAX)
      assert.ok(recipes.length > 2)
      assert.equal(blocks.map(block => block.slice(6)).join(''), lines.replaceAll('#\n', '').replaceAll('\n', ',\n'))
    }
  })
})

describe('tables: comments in CSV', () => {
  const commented = parameters(TYPES, { dialect: { ...DIALECT, comment: '#' } })

  it('are left out where a line begins with them, and nowhere else', async () => {
    const { blocks } = await split({ 'in.csv': '# "title\r\n#\na,b,c\n#1,2\n1,2,#x\r#\r\n3,4,"y\n# no comment"\n#,"' }, commented)
    assert.deepEqual(blocks, ['a,b,c\n1,2,#x\r3,4,"y\n# no comment"\n'])
  })

  it('leave line ends apart that are not one', async () => {
    const form = parameters({ a: 'VARCHAR' }, { dialect: { ...DIALECT, comment: '#' } })
    const { blocks, recipes } = await split({ 'in.csv': 'a\nx\r#\r\n\ny\n' }, form)
    assert.deepEqual([blocks, recipes[0]!.units, recipes[0]!.slice], [['a\nx\r\n\ny\n'], 3, { lineEnds: 'mixed' }])
  })

  it('count as lines', async () => {
    await refused(split({ 'in.csv': '#\n#\na,b,c\n#\n1,2\n' }, commented), 'bad-input', /line 5 has 2 fields/)
    const { recipes } = await split({ 'in.csv': '#\na,b,c\n1,2,x\n#\n#\n3,4,y\n' }, commented, 1)
    assert.deepEqual(recipes.map(({ origin }) => origin.line), [3, 6])
  })
})
