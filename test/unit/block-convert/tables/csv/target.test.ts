import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { SCAN_CHUNK_BYTES, CSV } from '../../../../../daemon/block-convert/tables/constants.ts'
import { converterById, type Input } from '../../../../../daemon/block-convert/index.ts'
import { tables } from '../../../../../daemon/block-convert/tables/index.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { readRecipeBytes } from '../../../../../daemon/block-convert/source.ts'
import { conversionOf, convertBlocks, splitAll, withFolder } from '../cases.ts'
import { inputsOf, refused } from './helpers.ts'

/** Converts files as a job does, each block compared with its source; gives the output's bytes. */
async function convert (files: Record<string, string | Uint8Array>, settings: Record<string, string> = {}, to = 'csv', bytes = 1e9): Promise<Buffer> {
  return await withFolder(async folder => {
    const inputs = await inputsOf(folder, files)
    return await readFile(await job(folder, inputs, settings, to, bytes))
  })
}

async function job (folder: string, inputs: Input[], settings: Record<string, string>, to: string, bytes: number): Promise<string> {
  const id = `table/csv-${to}`
  const { parameters } = await tables.prepare(inputs, converterById(id)!, settings, {})
  const conversion = conversionOf(id, parameters as unknown as TableParameters)
  const recipes = await splitAll(inputs, conversion, bytes)
  for (const recipe of recipes) {
    const alone = await convertBlocks(folder, inputs, conversion, [recipe])
    const { value, difference } = await tables.distance({ bytes: await readRecipeBytes(recipe, inputs) }, { path: alone, size: 0 }, recipe, conversion)
    assert.equal(value, 0, difference)
  }
  return await convertBlocks(folder, inputs, conversion, recipes)
}

describe('tables: CSV as a target', function () {
  this.timeout(60_000)

  it('is written in the dialect asked for', async () => {
    const source = 'id,"the name"\n1,"a;b"\n2,"it\'s ""x"""\n,""\n4,back\\slash\n'
    for (const [settings, expected] of [
      [{}, 'id,the name\n1,a;b\n2,"it\'s ""x"""\n,""\n4,back\\slash\n'],
      [{ 'to.delimiter': ';' }, 'id;the name\n1;"a;b"\n2;"it\'s ""x"""\n;""\n4;back\\slash\n'],
      [{ 'to.delimiter': 'tab', 'to.header': 'false' }, '1\ta;b\n2\t"it\'s ""x"""\n\t""\n4\tback\\slash\n'],
      [{ 'to.quote': "'", 'to.escape': '\\' }, 'id,the name\n1,a;b\n2,\'it\\\'s "x"\'\n,\'\'\n4,back\\slash\n'],
      [{ 'to.delimiter': 'space', 'to.quote': '$' }, 'id $the name$\n1 a;b\n2 $it\'s "x"$\n $$\n4 back\\slash\n']
    ] as const) assert.equal((await convert({ 'in.csv': source }, settings)).toString(), expected)
  })

  it('without quotes is written only if no value needs any', async () => {
    const none = { 'to.quote': 'none' }
    assert.equal((await convert({ 'in.csv': 'a,b\n1,"x"\n,y z\n' }, none)).toString(), 'a,b\n1,x\n,y z\n')
    assert.equal((await convert({ 'in.csv': 'a,b\n1.5,"x,y"\n' }, { ...none, 'to.delimiter': 'tab' })).toString(), 'a\tb\n1.5\tx,y\n')
    for (const content of ['a,b\n1,""\n', 'a,b\n1,"x,y"\n', 'a,b\n1,"x\ny"\n', 'a,b\n1,"x\ry"\n']) await refused(convert({ 'in.csv': content }, none), 'unsupported', /column 'b' holds a value that needs quotes/)
    await refused(convert({ 'in.csv': 'a,b\n1.5,x\n' }, { ...none, 'to.delimiter': '.' }), 'unsupported', /column 'a' holds a value that needs quotes/)
    await refused(convert({ 'in.csv': 'a,"b|c"\n1,2\n' }, { ...none, 'to.delimiter': '|' }), 'unsupported', /name of column "b\|c" needs quotes/)
    assert.equal((await convert({ 'in.csv': 'a,"b|c"\n1,2\n' }, { ...none, 'to.delimiter': '|', 'to.header': 'false' })).toString(), '1|2\n')
    await refused(convert({ 'in.csv': 'a,b\n1,2\n' }, { ...none, 'to.escape': '\\' }), 'bad-parameters', /'to\.escape' needs quotes/)
    await refused(convert({ 'in.csv': 'a,b\n1,2\n' }, { 'to.delimiter': '"' }), 'bad-parameters', /to\.delimiter, quote, escape and comment must be different/)
  })

  it('has all columns of its inputs, NULL where one lacks them', async () => {
    const files = { 'a.csv': 'id,name\n1,x', 'b.csv': 'extra,ID\ntrue,2\n', 'c.csv': 'id,name\r\n3,\r\n', 'd.csv': 'id,name\n' }
    for (const bytes of [1, 1e9]) assert.equal((await convert(files, {}, 'csv', bytes)).toString(), 'id,name,extra\n1,x,\n2,,true\n3,,\n')
  })

  it('takes what the scanner took, in every form, through engine and check', async () => {
    const expected = 'a,b,c\n1,"x ""y"", z",\n2,"p\\q",3\n'
    assert.equal((await convert({ 'in.csv': '#"\na;b;c\n1;"x \\"y\\", z"\n2;"p\\\\q";3;\n' }, { comment: '#', ragged: 'pad' })).toString(), expected.replace('"p\\q"', 'p\\q'))
    assert.equal((await convert({ 'in.csv': 'a|b|c\r1|\'x "y", z\'|\r\n2|p\\q|3\n' }, { quote: '\'' })).toString(), expected.replace('"p\\q"', 'p\\q'))
    assert.equal((await convert({ 'in.csv': 'a\tb\n"x"\t\'\n"\t""\n' }, { quote: 'none' })).toString(), 'a,b\n"""x""",\'\n"""",""""""\n')
    assert.equal((await convert({ 'in.csv': 'a\n\n1\r\n\n' })).toString(), 'a\n\n1\n\n')
    assert.equal((await convert({ 'in.csv': '\ufeffa,b\r\n007,\r1,""\n+5,1.50\n' })).toString(), 'a,b\n007,\n1,""\n+5,1.50\n')
  })

  it('holds a field several times as large as what is read at once', async () => {
    const field = 'a ""quoted"" word, é\n'.repeat(Math.ceil(2.5 * SCAN_CHUNK_BYTES / 22))
    const content = `id,text\n1,"${field}"\n2,x\n`
    assert.equal((await convert({ 'in.csv': content }, {}, 'csv', 1e6)).toString(), content)
    await convert({ 'in.csv': content }, {}, 'parquet', 1e6)
  })

  it('holds thousands of columns', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `c${i}`)
    // More than is read at once, too.
    const content = `${names.join()}\n${Array.from({ length: 60 }, (_, row) => names.map((_, i) => row * i).join()).join('\n')}\n`
    await withFolder(async folder => {
      const [input] = await inputsOf(folder, { 'in.csv': content })
      assert.equal(input!.mediaType, CSV)
      assert.ok(input!.size > SCAN_CHUNK_BYTES)
      assert.equal((await readFile(await job(folder, [input!], {}, 'csv', 1e9))).toString(), content)
    })
  })
})
