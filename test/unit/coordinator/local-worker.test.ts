import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConversionError } from '../../../daemon/block-convert/index.ts'
import { createLocalWorker } from '../../../daemon/coordinator/index.ts'
import type { LocalOrder } from '../../../daemon/coordinator/local-worker.ts'
import { openDataDir, type DataDir } from '../../../daemon/store/index.ts'
import type { AttemptOutcome, Offer, Order, Worker } from '../../../daemon/task-protocol/index.ts'
import { inProcessExecutor, inProcessToolbox } from './fakes.ts'

function offer (converter: string): Offer {
  return { job: 'j', converter, version: '1', parameters: {}, deadline: 0, outputBytes: 1e9, price: '0', unit: 'test' }
}

function orderOf (block: number, data: Uint8Array, more: Partial<LocalOrder> = {}): Order {
  return { block, attempt: 1, size: data.byteLength, digest: hash('sha256', data, 'buffer'), ...more }
}

describe('coordinator/local-worker', () => {
  let root: string
  let dir: DataDir
  let outcomes: AttemptOutcome[]
  let arrived: () => void

  /** Resolves when so many outcomes are there. */
  const count = async (wanted: number): Promise<void> => {
    while (outcomes.length < wanted) await new Promise<void>(resolve => { arrived = resolve })
  }

  const make = (converter: string, executor = inProcessExecutor(dir.scratch)): Worker => createLocalWorker({ executor, toolbox: inProcessToolbox(), blocks: dir.blocks }, offer(converter), {
    outcomes: list => {
      outcomes.push(...list)
      arrived()
    },
    lost: () => { assert.fail('the local worker cannot be lost') }
  })

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-local-'))
    dir = await openDataDir(join(root, 'data'))
    outcomes = []
    arrived = () => {}
  })

  afterEach(async () => {
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  it('runs built-in converters on bytes here and gathers the results of a tick', async () => {
    const worker = make('probe/noop')
    const blocks = Array.from({ length: 10 }, () => randomBytes(50))
    worker.dispatch(blocks.map((data, i) => orderOf(i, data, { bytes: data })))
    await count(10)
    for (const outcome of outcomes) {
      assert.ok(outcome.ok && 'bytes' in outcome.output)
      assert.deepEqual(Buffer.from(outcome.output.bytes), hash('sha256', blocks[outcome.block]!, 'buffer'))
      assert.deepEqual(Buffer.from(outcome.digest), hash('sha256', outcome.output.bytes, 'buffer'))
    }
    await worker.close()
  })

  it('runs engines on files, stores their output, and leaves no workspace', async () => {
    const worker = make('probe/copy')
    const data = randomBytes(200_000)
    worker.dispatch([
      orderOf(0, data, { materialise: async path => { await writeFile(path, data) } }),
      orderOf(1, data, { open: async function * () { yield data.subarray(0, 5); yield data.subarray(5) } })
    ])
    await count(2)
    for (const outcome of outcomes) {
      assert.ok(outcome.ok && 'stored' in outcome.output)
      assert.deepEqual(await readFile(outcome.output.stored.path), data)
    }
    await worker.close()
    assert.deepEqual(await readdir(dir.scratch), [])
  })

  it('wants one order more than there are engines', () => {
    assert.equal(make('probe/copy', inProcessExecutor(dir.scratch, 3)).slots, 4)
  })

  it('tells failures as data: of the input, of the engine, of the disk', async () => {
    const worker = make('probe/copy')
    worker.dispatch([
      orderOf(0, randomBytes(5), { materialise: async () => { throw new ConversionError('input-changed', 'in.bin changed') } }),
      orderOf(1, randomBytes(5), { materialise: async () => { throw Object.assign(new Error('no space'), { code: 'ENOSPC' }) } }),
      orderOf(2, randomBytes(5), { materialise: async () => { /* writes nothing, so the engine finds no input */ } }),
      orderOf(3, randomBytes(5))
    ])
    await count(4)
    const told = outcomes.toSorted((a, b) => a.block - b.block).map(outcome => outcome.ok ? 'ok' : `${outcome.reason} ${outcome.code ?? ''}`.trim())
    assert.deepEqual(told, ['conversion input-changed', 'unavailable', 'crash ENOENT', 'unavailable'])
    await worker.close()
    assert.deepEqual(await readdir(dir.scratch), [])
  })

  it('cancels what runs, and everything on close; each order still ends in one outcome', async () => {
    const running = Promise.withResolvers<void>()
    let started = 0
    const executor = inProcessExecutor(dir.scratch)
    const slow: typeof executor = { ...executor, run: (_task, options) => new Promise(resolve => {
      if (++started === 2) running.resolve()
      options?.signal?.addEventListener('abort', () => { resolve({ ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 }) })
    }) }
    const worker = make('probe/copy', slow)
    const data = randomBytes(5)
    worker.dispatch([orderOf(0, data, { bytes: data }), orderOf(1, data, { bytes: data })])
    await running.promise
    worker.cancel([{ block: 0, attempt: 1 }, { block: 7, attempt: 1 }])
    await count(1)
    assert.deepEqual(outcomes.map(({ block, ok }) => [block, ok]), [[0, false]])
    await worker.close()
    worker.dispatch([orderOf(2, data, { bytes: data })])
    await count(3)
    assert.deepEqual(outcomes.map(({ block }) => block), [0, 1, 2])
    assert.deepEqual(await readdir(dir.scratch), [])
  })
})
