import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOfOutput, removePartials, type Conversion } from '../../../daemon/block-convert/index.ts'
import { openOutput } from '../../../daemon/block-convert/output-writer.ts'
import type { OutputWriter } from '../../../daemon/block-convert/toolbox.ts'
import { containerTail } from '../../../daemon/block-convert/tables/partition/container.ts'
import type { TableParameters } from '../../../daemon/block-convert/tables/schema.ts'
import { conversionOf } from './tables/cases.ts'

const dialect = { delimiter: ',', quote: '"', escape: '"', header: true }
const PARAMS: TableParameters = { columns: [{ name: 'id', type: 'BIGINT' }, { name: 'k', type: 'VARCHAR' }], source: { format: 'csv', dialect }, target: { format: 'csv', dialect }, partition: ['k'] }
const CONVERSION: Conversion = conversionOf('table/csv-csv', PARAMS)

/** A block's result: ids by key. */
function result (rows: Record<string, number[]>): { bytes: Uint8Array } {
  const parts = Object.entries(rows).map(([key, ids]) => ({ key, ids, bytes: Buffer.from(`id\n${ids.map(id => `${id}\n`).join('')}`) }))
  return { bytes: Buffer.concat([...parts.map(({ bytes }) => bytes), containerTail(parts.map(({ key, ids, bytes }) => ({ key: [key], rows: ids.length, size: bytes.length })))]) }
}

describe('outputs that are folders', function () {
  this.timeout(60_000)
  let folder: string
  let out: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-folder-'))
    out = join(folder, 'out')
  })
  afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

  const files = async (root = out): Promise<Record<string, string>> => {
    const found = (await readdir(root, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
    return Object.fromEntries(await Promise.all(found.toSorted().map(async path => [path.slice(root.length + 1), await readFile(path, 'utf8')])))
  }
  const write = async (writer: OutputWriter, ...blocks: Array<Record<string, number[]>>): ReturnType<OutputWriter['finish']> => {
    await writer.add(blocks.map(result))
    return await writer.finish({ units: blocks.flatMap(block => Object.values(block).flat()).length, blocks: blocks.length })
  }

  it('have a file per key, merged in order, and appear in one step', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    const { size, digest, units } = await write(writer, { b: [1, 2], 'a/x': [3] }, {}, { 'a/x': [4], b: [5] })
    assert.deepEqual((await readdir(folder)).map(name => /^\.out\.[0-9a-f]{12}\.weft-partial$/.test(name)), [true], 'nothing at the final name yet')
    await writer.commit()
    const wanted = { 'k=a%2Fx/data-0.csv': 'id\n3\n4\n', 'k=b/data-0.csv': 'id\n1\n2\n5\n' }
    assert.deepEqual(await files(), wanted)
    assert.deepEqual(await readdir(folder), ['out'])
    assert.equal(units, 5)
    assert.equal(size, Object.values(wanted).join('').length)
    const sums = Object.entries(wanted).map(([path, text]) => `${createHash('sha256').update(text).digest('hex')}  ${path}\n`).join('')
    assert.equal(Buffer.from(digest).toString('hex'), createHash('sha256').update(sums).digest('hex'))
    assert.deepEqual(await digestOfOutput(out), Buffer.from(digest), 'as it is found again after a crash')
    assert.equal((await stat(out)).mode & 0o777, 0o777 & ~process.umask())
  })

  it('keep more files than may be open at once', async () => {
    const keys = Array.from({ length: 200 }, (_, i) => String(i))
    const writer = await openOutput(out, CONVERSION, false)
    await write(writer, Object.fromEntries(keys.map(key => [key, [1]])), Object.fromEntries(keys.toReversed().map(key => [key, [2]])))
    await writer.commit()
    const found = await files()
    assert.equal(Object.keys(found).length, 200)
    assert.deepEqual(new Set(Object.values(found)), new Set(['id\n1\n2\n']))
  })

  it('may be empty: a table without rows has no files', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    assert.deepEqual((await writer.finish({ units: 0, blocks: 0 })).units, 0)
    await writer.commit()
    assert.deepEqual(await files(), {})
  })

  it('have at most 4096 files', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    await writer.add([result(Object.fromEntries(Array.from({ length: 4096 }, (_, i) => [`x${i}`, [1]])))])
    await assert.rejects(writer.add([result({ more: [1] })]), { code: 'unsupported', message: /column 'k' has more than 4096/ })
    await writer.abort()
    assert.deepEqual(await readdir(folder), [])
  })

  it('are not finished with rows missing', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    await writer.add([result({ a: [1] })])
    await assert.rejects(writer.finish({ units: 2, blocks: 1 }), { code: 'bad-input', message: /1 rows instead of 2/ })
    await writer.abort()
    assert.deepEqual(await readdir(folder), [])
  })

  it('begin again when told, with another schema too', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    await writer.add([result({ a: [1], gone: [9] })])
    await writer.reset(conversionOf('table/csv-csv', { ...PARAMS, columns: [{ name: 'id', type: 'VARCHAR' }, PARAMS.columns[1]!] }))
    await write(writer, { a: [2] })
    await writer.commit()
    assert.deepEqual(await files(), { 'k=a/data-0.csv': 'id\n2\n' })
  })

  describe('and something is there already', () => {
    const existing = async (entries: Record<string, string>): Promise<void> => {
      for (const [path, text] of Object.entries(entries)) {
        await mkdir(join(out, path, '..'), { recursive: true })
        await writeFile(join(out, path), text)
      }
    }

    it('refuse without overwrite, an empty folder too, and one that appears meanwhile', async () => {
      await mkdir(out)
      await assert.rejects(openOutput(out, CONVERSION, false), { code: 'EEXIST' })
      await rm(out, { recursive: true })
      const writer = await openOutput(out, CONVERSION, false)
      await write(writer, { a: [1] })
      await existing({ 'mine.txt': 'x' })
      await assert.rejects(writer.commit(), { code: 'EEXIST' })
      await writer.abort()
      assert.deepEqual(await files(), { 'mine.txt': 'x' })
    })

    it('replace an output of their kind, whole', async () => {
      await existing({ 'k=old/data-0.parquet': 'x', 'year=1/k=2/data-3.csv.gz': 'x' })
      const writer = await openOutput(out, CONVERSION, true)
      await write(writer, { a: [1] })
      assert.equal((await files())['k=old/data-0.parquet'], 'x', 'until the rename')
      await writer.commit()
      assert.deepEqual(await files(), { 'k=a/data-0.csv': 'id\n1\n' })
      assert.deepEqual(await readdir(folder), ['out'])
    })

    for (const [what, path] of [['a file of the user\'s', 'notes.txt'], ['one among data', 'k=a/notes.txt'], ['data of another program', 'k=a/part-0000.parquet'], ['a file at the top', 'data-0.csv'], ['a hidden file', '.git/config']] as const) {
      it(`never remove ${what}`, async () => {
        await existing({ 'k=a/data-0.csv': 'x', [path]: 'precious' })
        await assert.rejects(openOutput(out, CONVERSION, true), { code: 'unsupported', message: /cannot replace .*it holds '/ })
        assert.equal((await files())[path], 'precious')
      })
    }

    it('never follow or remove links, nor replace a file', async () => {
      await existing({ 'k=a/data-0.csv': 'x' })
      await writeFile(join(folder, 'precious'), 'x')
      await symlink(join(folder, 'precious'), join(out, 'k=a', 'data-1.csv'))
      await assert.rejects(openOutput(out, CONVERSION, true), /it holds 'k=a\/data-1.csv'/)
      await assert.rejects(openOutput(join(folder, 'precious'), CONVERSION, true), { message: /it is a file/ })
      await symlink(out, join(folder, 'link'))
      await assert.rejects(openOutput(join(folder, 'link'), CONVERSION, true), { message: /it is a file/ })
    })

    it('look again before they replace: what was put there meanwhile stays', async () => {
      await existing({ 'k=a/data-0.csv': 'x' })
      const writer = await openOutput(out, CONVERSION, true)
      await write(writer, { a: [1] })
      await existing({ 'notes.txt': 'precious' })
      await assert.rejects(writer.commit(), /it holds 'notes.txt'/)
      await writer.abort()
      assert.deepEqual(await files(), { 'k=a/data-0.csv': 'x', 'notes.txt': 'precious' })
    })
  })

  it('what a crash left is removed; a folder that was just being replaced gets its name back', async () => {
    const writer = await openOutput(out, CONVERSION, false)
    await writer.add([result({ a: [1] })])
    const aside = join(folder, '.out.0123456789ab.weft-replaced')
    await mkdir(join(aside, 'k=old'), { recursive: true })
    await writeFile(join(aside, 'k=old', 'data-0.csv'), 'old')
    await mkdir(join(folder, '.out.mine.weft-partial'))
    assert.equal(await removePartials(out), 2)
    assert.deepEqual((await readdir(folder)).toSorted(), ['.out.mine.weft-partial', 'out'])
    assert.deepEqual(await files(), { 'k=old/data-0.csv': 'old' })
    await mkdir(aside)
    await removePartials(out)
    assert.deepEqual(await files(), { 'k=old/data-0.csv': 'old' }, 'with the new one in place, the old one goes')
    assert.deepEqual((await readdir(folder)).toSorted(), ['.out.mine.weft-partial', 'out'])
    await writer.abort()
  })
})
