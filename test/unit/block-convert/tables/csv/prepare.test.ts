import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SAMPLE_HEAD_BYTES } from '../../../../../daemon/block-convert/tables/constants.ts'
import { csvCase } from '../cases.ts'
import { prepare, refused, type Prepared } from './helpers.ts'

async function form (content: string, settings: Record<string, string> = {}, name = 'in.csv'): Promise<string> {
  const { dialect: { delimiter, quote, escape } } = await prepare({ [name]: content }, settings)
  return [delimiter, quote, escape].map(character => character === '' ? 'none' : character).join(' ')
}

const codes = ({ notes }: Prepared): string[] => notes.map(({ code }) => code)

describe('tables: the dialect of a CSV text', () => {
  it('is found by what divides the records evenly', async () => {
    for (const [content, expected] of [
      ['a,b\n1,2\n', ', " "'], ['a;b\n1,5;2,5\n', '; " "'], ['a\tb\n1\t2,3\n', '\t " "'], ['a|b\n1|2\n', '| " "'],
      ['a^b\n1^2\n3^4\n', '^ " "'], ['a~b\n1~2\n3~4\n', '~ " "'],
      ['root:x:0:/root\nbin:x:1:a,b\ndaemon:x:2:/d\n', ': " "'], ['GET / 200\nGET /x 404\nPUT /y 201\n', '  " "']
    ] as const) assert.equal(await form(content), expected, JSON.stringify(content))
  })

  it('is one column where a rare delimiter is part of text or of a value', async () => {
    for (const content of ['time\n12:30:00\n13:30:00\n14:30:00\n', 'at\n2020-01-01 12:30:00\n2020-01-02 12:30:00\n2020-01-03 12:30:00\n', 'three words here\nand three there\nand once more\n', 'a^b\n1\n2\n', 'word\nother\n']) {
      const { dialect, columns } = await prepare({ 'in.csv': content })
      assert.deepEqual([dialect.delimiter, Object.keys(columns).length], [',', 1], JSON.stringify(content))
    }
  })

  it('has the quote that is needed, and no other', async () => {
    assert.equal(await form('id;note\n1;\'x;y\'\n2;\'it\'\'s\'\n'), "; ' '")
    assert.equal(await form('a,b\n\'x\',1\n\'y\',2\n'), ", ' '")
    assert.equal(await form('a,b\n\'tis,1\nwas,2\n'), ', " "')
    assert.equal(await form('a,b\n\'x\',1\ny,2\n'), ', " "')
    assert.equal(await form('a,b\n"x",\'y\'\n"z",\'w\'\n'), ', " "')
  })

  it('has an escape where quotes are sound only by it', async () => {
    assert.equal(await form('a,b\n1,"say \\"hi\\", you"\n'), ', " \\')
    assert.equal(await form('a,b\n1,"C:\\dir\\"\n2,"x"\n'), ', " "')
    assert.equal(await form('a,b\n1,"back\\\\slash"\n'), ', " "')
  })

  it('is what the user says', async () => {
    assert.equal(await form('a,b;c\n', { delimiter: ';' }), '; " "')
    assert.equal(await form('a,"b"\n', { quote: 'none' }), ', none none')
    assert.equal(await form('a,"b"\n', { escape: '~' }), ', " ~')
    assert.equal(await form('a b,c\td\n', { delimiter: 'space' }), '  " "')
    const clashes: Array<Record<string, string>> = [{ delimiter: '"' }, { comment: ',' }, { comment: '"' }, { escape: ',' }, { comment: '~', escape: '~' }]
    for (const settings of clashes) {
      await refused(prepare({ 'in.csv': 'a,b\n1,2\n' }, settings), 'bad-parameters', /must be different characters/)
    }
    await refused(prepare({ 'in.csv': 'a,b\n' }, { quote: 'none', escape: '\\' }), 'bad-parameters', /'escape' needs quotes/)
  })

  it('goes by the name of a file between tabs', async () => {
    assert.equal(await form('a,b\tc,d\n1\t2\n', {}, 'in.tsv'), '\t " "')
    assert.equal(await form('a,b\n1,2\n', {}, 'in.tsv'), ', " "')
  })

  it('is told where it is unusual', async () => {
    const { notes } = await prepare({ 'in.csv': '\'a\':\'x\\\'y\':1\n\'b\':\'z\':2\n\'c\':\'w\':3\n' }, {})
    assert.deepEqual(notes.map(({ code, message, input }) => [code, message, input]), [
      ['dialect-detected', "'in.csv' is read as delimited by ':', quoted with ', escaped with \\; if that is wrong, set delimiter, quote or escape", 'in.csv']])
    assert.deepEqual(codes(await prepare({ 'in.csv': 'a;b\n1;2\n' })), [])
    assert.deepEqual(codes(await prepare({ 'in.csv': 'a:b:1\n' }, { delimiter: ':' })), [])
  })

  it('leaves comments out of everything', async () => {
    const { columns, dialect } = await prepare({ 'in.csv': '# a; b\n#\nx,y\n#,,,\n1,2\n' }, { comment: '#' })
    assert.deepEqual([columns, dialect], [{ x: 'BIGINT', y: 'BIGINT' }, { delimiter: ',', quote: '"', escape: '"', header: true, comment: '#' }])
    await refused(prepare({ 'in.csv': '# only\n' }, { comment: '#' }), 'bad-input', /has no record/)
  })

  it('of usual quoting is not taken for another', async () => {
    await fc.assert(fc.asyncProperty(csvCase, async ({ dialect, names, content }) => {
      fc.pre(content.trim() !== '' && dialect.quote === '"' && dialect.header)
      const { dialect: found } = await prepare({ 'in.csv': content }, { delimiter: dialect.delimiter, header: 'true', quote: '"' })
      assert.ok(found.escape === '"' || /\\"/.test(content), names.join())
    }), { numRuns: 150 })
  })
})

describe('tables: the columns of CSV inputs', () => {
  it('are united by name, in order of first appearance, and what lacks some is named', async () => {
    const { columns, notes } = await prepare({ 'a.csv': 'id,name\n1,x\n', 'b.csv': 'extra,id\n5,2.5\n', 'c.csv': 'ID\n3\n', 'd.csv': 'ID\n4\n' })
    assert.deepEqual(columns, { id: 'DECIMAL(18,1)', name: 'VARCHAR', extra: 'BIGINT' })
    assert.deepEqual(notes.map(({ code, message, count }) => [code, message, count]), [
      ['columns-united', "columns were united by name, missing ones are empty: 'a.csv' without 'extra'; 'b.csv' without 'name'; 'c.csv' and 1 more without 'name', 'extra'", 4],
      ['columns-matched', "names that differ only in case are one column: 'ID' is taken for 'id'", undefined]
    ])
  })

  it('get another name where theirs is empty or repeated, which is told', async () => {
    const { columns, notes } = await prepare({ 'a.csv': 'id,ID,,x\n1,2,3,4\n', 'b.csv': 'id,ID,,x\n5,6,7,8\n' })
    assert.deepEqual(Object.keys(columns), ['id', 'ID_2', 'column_3', 'x'])
    assert.deepEqual(notes, [{
      code: 'columns-renamed',
      message: "'a.csv' and 1 more inputs: the name 'ID' occurs again, column 2 is called 'ID_2'; column 3 has no name and is called 'column_3'",
      input: 'a.csv', columns: ['ID_2', 'column_3'], count: 2
    }])
  })

  it('are counted where there is no header', async () => {
    assert.deepEqual((await prepare({ 'a.csv': '1,2\n', 'b.csv': '3,4,5\n' })).columns, { column_1: 'BIGINT', column_2: 'BIGINT', column_3: 'BIGINT' })
  })

  it('are refused where an input only seems to have others', async () => {
    await refused(prepare({ 'a.csv': 'a,b\n1,2\n', 'b.csv': 'a;b\n1;2\n' }), 'unsupported', /b\.csv' is delimited by ';', the inputs before it by ','/)
    await refused(prepare({ 'a.csv': 'a,b\n1,2\n', 'b.csv': '1,2\n3,4\n' }), 'unsupported', /b\.csv' seems to have no header line/)
    await refused(prepare({ 'a.csv': '1,2\n3,4\n', 'b.csv': 'a,b,c\n1,2,3\n' }), 'unsupported', /b\.csv' seems to have a header line/)
    await refused(prepare({ 'a.csv': 'a,b\n1,2\n', 'b.csv': '' }), 'bad-input', /b\.csv' is empty/)
    // Said by the user, it holds. (Keys that look like numbers come first.)
    assert.deepEqual(Object.keys((await prepare({ 'a.csv': 'a,b\n1,2\n', 'b.csv': '1,2\n3,4\n' }, { header: 'true' })).columns), ['1', '2', 'a', 'b'])
  })

  it('stay within bounds in notes', async () => {
    const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${i}.csv`, `${'n'.repeat(500)}${i},\n1,2\n`]))
    for (const { message } of (await prepare(files)).notes) assert.ok(message.length < 4000, message)
  })

  it('are found in a header, or a first record, larger than what is sampled', async () => {
    const names = Array.from({ length: 4000 }, (_, i) => `${'name'.repeat(30)}${i}`)
    assert.ok(names.join().length > SAMPLE_HEAD_BYTES)
    const wide = await prepare({ 'in.csv': `${names.join()}\n${names.map((_, i) => i).join()}\n${`${names.map(() => 1.5).join()}\n`.repeat(150)}` })
    assert.deepEqual(Object.keys(wide.columns), names)
    assert.deepEqual((await prepare({ 'in.csv': `1,"${'x'.repeat(3e6)}"\n2,y\n` })).columns, { column_1: 'BIGINT', column_2: 'VARCHAR' })
  })

  it('come with a note of byte order marks', async () => {
    const { columns, notes } = await prepare({ 'a.csv': '\ufeffa\n1\n', 'b.csv': 'a\n2\n', 'c.csv': '\ufeff"a"\n3\n' })
    assert.deepEqual([Object.keys(columns), notes.map(({ code, count }) => [code, count])], [['a'], [['byte-order-mark', 2]]])
  })
})
