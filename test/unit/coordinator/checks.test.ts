import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { ConversionError, type BlockRecipe, type Conversion } from '../../../daemon/block-convert/index.ts'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { Checks } from '../../../daemon/coordinator/checks.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'

const digest = hash('sha256', 'x', 'buffer')
const recipe: BlockRecipe = { index: 0, parts: [], size: 1e6, digest, origin: { input: 0, line: 1 } }
const conversion: Conversion = { converter: { id: 'table/csv-parquet', version: 'none', from: 'text/csv', to: 'x', equivalence: 'content-exact' }, parameters: {} }

async function failing (what: 'inspect' | 'check', error: unknown): Promise<JobEventIn> {
  const refs = new BlockRefs({ delete: async () => {}, get: async () => undefined }, () => 0, failure => { throw failure })
  const shelf = new ResultShelf({ blocks: { sink: () => assert.fail() }, journal: { entries: () => assert.fail(), remove: async () => {} }, refs }, 'key')
  shelf.put('peer', { ok: true, block: 0, attempt: 1, digest, size: 1e6, output: { stored: { digest, size: 1e6, path: '/blocks/x' } }, cpuMs: 1, wallMs: 1 })
  return await new Promise(resolve => {
    const fail = async (): Promise<never> => { throw error }
    const checks = new Checks({ toolbox: { inspect: fail, distance: fail }, conversion, inputs: [], reader: { bytes: fail }, recipe: () => recipe, shelf, push: resolve })
    checks[what]([{ block: 0, attempt: 1 }])
  })
}

describe('coordinator/checks', () => {
  it('blames the worker for a result that is wrong', async () => {
    for (const code of ['bad-input', 'unsupported', 'contradiction'] as const) {
      assert.deepEqual(await failing('inspect', new ConversionError(code, 'it is')), { type: 'unsound', block: 0, attempt: 1, message: 'it is' })
      assert.deepEqual(await failing('check', new ConversionError(code, 'it is')), { type: 'checked', block: 0, attempt: 1, distance: Infinity, difference: 'it is' })
    }
  })

  it('blames nobody for a check that could not be done here', async () => {
    for (const error of [
      new ConversionError('input-unreadable', 'cannot read \'/blocks/x\': too many open files', { path: '/blocks/x', system: 'EMFILE' }),
      new ConversionError('input-changed', 'it changed'), new ConversionError('engine', 'the engine failed'), new Error('EMFILE')
    ]) {
      const fact = await failing('inspect', error)
      assert.deepEqual(fact, { type: 'broken', error: { code: 'failed', message: `checking block 0: ${error.message}` } })
      assert.equal((await failing('check', error)).type, 'broken')
    }
  })

  it('tells an input that cannot be compared with from a result that cannot be read', async () => {
    const unreadable = (path: string): ConversionError => new ConversionError('input-unreadable', `cannot read '${path}'`, { path })
    const codes = await Promise.all(['/in.csv', '/blocks/x'].map(async path => {
      const fact = await failing('check', unreadable(path))
      return fact.type === 'broken' ? fact.error.code : fact.type
    }))
    assert.deepEqual(codes, ['input-unreadable', 'failed'])
  })
})
