import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { CSV, PARQUET, SAMPLE_HEAD_BYTES, SAMPLE_TAIL_BYTES, SAMPLE_WHOLE_BYTES, SAMPLE_WINDOW_BYTES, SAMPLE_WINDOWS } from '../../../../daemon/block-convert/tables/constants.ts'
import { prepareTable } from '../../../../daemon/block-convert/tables/prepare.ts'
import { plan, readSamples } from '../../../../daemon/block-convert/tables/sample.ts'
import { withFolder, writeInput } from './cases.ts'

describe('tables: samples', () => {
  it('cover a small file wholly, and a large one from end to end without overlap', () => {
    assert.deepEqual(plan(0), [[0, 0]])
    assert.deepEqual(plan(SAMPLE_WHOLE_BYTES), [[0, SAMPLE_WHOLE_BYTES]])
    fc.assert(fc.property(fc.integer({ min: SAMPLE_WHOLE_BYTES + 1, max: 2 ** 45 }), size => {
      const windows = plan(size)
      assert.equal(windows.length, SAMPLE_WINDOWS + 2)
      assert.deepEqual(windows[0], [0, SAMPLE_HEAD_BYTES])
      assert.deepEqual(windows.at(-1), [size - SAMPLE_TAIL_BYTES, SAMPLE_TAIL_BYTES])
      let end = 0
      for (const [offset, length] of windows) {
        assert.ok(offset >= end, 'windows are in order and apart')
        assert.ok(length <= Math.max(SAMPLE_HEAD_BYTES, SAMPLE_WINDOW_BYTES))
        end = offset + length
      }
      assert.equal(end, size)
    }), { numRuns: 100 })
  })

  it('say whether they hold the beginning and the end', async () => withFolder(async folder => {
    const [only] = await readSamples(await writeInput(folder, 'a', '\ufeffa,b\n', CSV))
    assert.deepEqual(only, { text: 'a,b\n', marked: true, first: true, last: true })
    const large = await readSamples(await writeInput(folder, 'b', Buffer.alloc(SAMPLE_WHOLE_BYTES + 5, 'x\n'), CSV))
    assert.deepEqual(large.map(sample => sample.first), large.map((_, i) => i === 0))
    assert.deepEqual(large.map(sample => sample.last), large.map((_, i) => i === large.length - 1))
  }))

  it('see what is only in the middle or at the end, quoted newlines around them or not', async () => withFolder(async folder => {
    const line = (i: number): string => `${i},${i % 3 === 0 ? '"two\nlines, ""7"","' : 'plain'},2024-01-01\n`
    const lines = Array.from({ length: 200_000 }, (_, i) => line(i))
    const plain = await writeInput(folder, 'plain.csv', `id,text,day\n${lines.join('')}`, CSV)
    assert.ok(plain.size > SAMPLE_WHOLE_BYTES)
    const types = async (input: typeof plain): Promise<string[]> => (await prepareTable([input], { from: CSV, to: PARQUET }, {})).parameters.columns.map(column => column.type)
    assert.deepEqual(await types(plain), ['BIGINT', 'VARCHAR', 'DATE'])
    lines[lines.length - 2] = '5,x,unknown\n'
    assert.deepEqual(await types(await writeInput(folder, 'tail.csv', `id,text,day\n${lines.join('')}`, CSV)), ['BIGINT', 'VARCHAR', 'VARCHAR'])
    for (let i = 90_000; i < 110_000; i++) lines[i] = `${i}.5,x,2024-01-01\n`
    assert.deepEqual((await types(await writeInput(folder, 'middle.csv', `id,text,day\n${lines.join('')}`, CSV)))[0], 'DECIMAL(18,3)')
  }))

  it('name the file if it cannot be read', async () => {
    await assert.rejects(readSamples({ path: '/nonexistent/x.csv', mediaType: CSV, size: 1, mtimeMs: 0 }), (error: unknown) =>
      error instanceof ConversionError && error.code === 'input-unreadable' && /there is no such file/.test(error.message))
  })
})
