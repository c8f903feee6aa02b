import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { OutputLane } from '../../../daemon/coordinator/output-lane.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import type { BlockSource, Conversion, OutputWriter } from '../../../daemon/block-convert/index.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'

class Setup {
  readonly facts: JobEventIn[] = []
  readonly warnings: string[] = []
  readonly done: string[] = []
  readonly shelf: ResultShelf
  readonly lane: OutputLane
  add: (parts: BlockSource[]) => Promise<void> = async () => {}

  constructor () {
    const refs = new BlockRefs({ delete: async () => {}, get: async () => undefined }, () => 0, error => { throw error })
    this.shelf = new ResultShelf({ blocks: { sink: () => assert.fail() }, journal: { entries: () => assert.fail(), remove: async () => {} }, refs }, 'key')
    const writer: OutputWriter = {
      add: parts => this.add(parts),
      finish: () => assert.fail(),
      commit: async () => {},
      reset: async now => { this.done.push(`reset to ${JSON.stringify(now?.parameters)}`) },
      abort: async () => { this.done.push('abort') }
    }
    this.lane = new OutputLane({ writer, inputs: [], output: '/out', shelf: this.shelf, push: fact => { this.facts.push(fact) }, warn: (_error, message) => { this.warnings.push(message) } })
    for (const block of [0, 1, 2]) this.put(block, 1)
  }

  put (block: number, attempt: number): void {
    const digest = hash('sha256', `${block}/${attempt}`, 'buffer')
    this.shelf.put('peer', { ok: true, block, attempt, digest, size: 1e6, output: { stored: { digest, size: 1e6, path: `/blocks/${block}-${attempt}` } }, cpuMs: 1, wallMs: 1 })
  }
}

const gone = (path: string): Error => Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT', syscall: 'open', path })
const settled = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

const conversion: Conversion = { converter: { id: 'probe/copy', version: '1', from: 'x', to: 'y', equivalence: 'byte-exact' }, parameters: {} }

describe('coordinator/output-lane', () => {
  it('a merge whose block is found wrong while it is read is void, and so is one that waits: the output begins again', async () => {
    const on = new Setup()
    const reading = Promise.withResolvers<void>()
    on.add = async () => { await reading.promise }
    on.lane.merge(0, [{ block: 0, attempt: 1 }, { block: 1, attempt: 1 }])
    on.lane.merge(0, [{ block: 1, attempt: 1 }])
    await settled()
    // As one step of the machine orders it: the block goes, the merge begins again.
    await on.shelf.discard(1, 1)
    on.lane.reset(1, conversion)
    reading.reject(gone('/blocks/1-1'))
    await settled()
    assert.deepEqual(on.facts, [{ type: 'merge-reset', epoch: 1 }])
    assert.deepEqual(on.warnings, ['a merge failed that was to begin again anyway'])
    on.put(1, 2)
    const parts: BlockSource[] = []
    on.add = async more => { parts.push(...more) }
    on.lane.merge(1, [{ block: 0, attempt: 1 }, { block: 1, attempt: 2 }])
    await settled()
    assert.deepEqual(on.facts.at(-1), { type: 'merged', epoch: 1, upTo: 2 })
    assert.deepEqual(parts.map(part => 'path' in part ? part.path : ''), ['/blocks/0-1', '/blocks/1-2'])
  })

  it('of several resets ordered only the last one is done, under its conversion', async () => {
    const on = new Setup()
    const adding = Promise.withResolvers<void>()
    on.add = async () => { await adding.promise }
    on.lane.merge(0, [{ block: 0, attempt: 1 }])
    await settled()
    for (const epoch of [1, 2, 3]) on.lane.reset(epoch, { ...conversion, parameters: { epoch } })
    adding.resolve()
    await settled()
    assert.deepEqual(on.facts, [{ type: 'merge-reset', epoch: 3 }])
    assert.deepEqual(on.done, ['reset to {"epoch":3}'])
  })

  it('a block that cannot be read is not called a failure of the output', async () => {
    for (const error of [gone('/blocks/2-1'), Object.assign(new Error('cannot read'), { name: 'ConversionError', code: 'input-unreadable', details: { path: '/blocks/2-1' } })]) {
      const on = new Setup()
      on.add = async () => { throw error }
      on.lane.merge(0, [{ block: 2, attempt: 1 }])
      await settled()
      assert.deepEqual(on.facts, [{ type: 'broken', error: { code: 'failed', message: `reading a converted block: ${error.message}` } }])
    }
    const on = new Setup()
    on.lane.merge(0, [{ block: 9, attempt: 1 }])
    await settled()
    assert.deepEqual(on.facts.map(fact => fact.type === 'broken' ? fact.error.code : fact.type), ['failed'])
  })

  it('a failure to write is', async () => {
    const on = new Setup()
    on.add = async () => { throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' }) }
    on.lane.merge(0, [{ block: 0, attempt: 1 }])
    await settled()
    assert.deepEqual(on.facts.map(fact => fact.type === 'broken' ? fact.error.code : fact.type), ['output-unwritable'])
  })
})
