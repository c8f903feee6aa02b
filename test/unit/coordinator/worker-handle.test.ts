import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import { WorkerHandle } from '../../../daemon/coordinator/worker-handle.ts'
import type { BlockRecipe } from '../../../daemon/block-convert/index.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'
import type { AttemptOutcome, Order, Worker } from '../../../daemon/task-protocol/index.ts'

const digestOf = (text: string): Uint8Array => hash('sha256', text, 'buffer')

function recipe (index: number, parts: BlockRecipe['parts'] = []): BlockRecipe {
  return { index, parts, size: 5, digest: digestOf('in'), origin: { input: 0, line: 100 } }
}

function good (block: number, text: string, attempt = 1): AttemptOutcome {
  const bytes = Buffer.from(text)
  return { ok: true, block, attempt, digest: digestOf(text), size: bytes.length, output: { bytes }, cpuMs: 1, wallMs: 1 }
}

class Setup {
  readonly deleted: Uint8Array[] = []
  readonly facts: JobEventIn[] = []
  readonly sent: Order[] = []
  readonly cancelled: Array<{ block: number, attempt: number }> = []
  readonly warnings: string[] = []
  readonly reads: Array<PromiseWithResolvers<Order>> = []
  unchanged: () => Promise<void> = async () => {}
  readonly shelf: ResultShelf
  readonly handle: WorkerHandle
  closed = 0

  constructor (options: { slowReads?: boolean, recipe?: (block: number) => BlockRecipe, close?: () => Promise<void> } = {}) {
    const refs = new BlockRefs({ delete: async digest => { this.deleted.push(digest) }, get: async () => undefined }, () => 0, error => { throw error })
    this.shelf = new ResultShelf({ blocks: { sink: () => assert.fail() }, journal: { entries: () => assert.fail(), remove: async () => {} }, refs }, 'key')
    this.handle = new WorkerHandle('peer', {
      recipe: options.recipe ?? (block => recipe(block)),
      order: (what, attempt) => {
        const order = { block: what.index, attempt, size: what.size, digest: what.digest }
        if (options.slowReads !== true) return order
        const read = Promise.withResolvers<Order>()
        this.reads.push(read)
        return read.promise
      },
      ownerOf: (_block, attempt) => attempt === 1 ? 'peer' : undefined,
      inputsUnchanged: () => this.unchanged(),
      shelf: this.shelf,
      push: fact => { this.facts.push(fact) },
      warn: (_error, message) => { this.warnings.push(message) }
    })
    const worker: Worker = {
      id: 'peer',
      kind: 'remote',
      slots: 4,
      dispatch: orders => { this.sent.push(...orders) },
      cancel: attempts => { this.cancelled.push(...attempts) },
      close: options.close ?? (async () => { this.closed++ })
    }
    this.handle.events()
    this.handle.attach(worker)
    this.facts.length = 0
  }

  tell (...outcomes: AttemptOutcome[]): void {
    this.handle.events().outcomes(outcomes)
  }
}

describe('coordinator/worker-handle', () => {
  it('an order cancelled while its input is read is never sent, and ends as cancelled', async () => {
    const setup = new Setup({ slowReads: true })
    const [first, second] = [{ block: 0, attempt: 1 }, { block: 1, attempt: 1 }]
    setup.handle.dispatch([first, second])
    setup.handle.cancel([first])
    setup.reads.forEach((read, i) => { read.resolve({ block: i, attempt: 1, size: 5, digest: digestOf('in') }) })
    await new Promise(setImmediate)
    assert.deepEqual(setup.sent.map(({ block }) => block), [1])
    assert.deepEqual(setup.facts.map(fact => fact.type === 'failed' ? [fact.block, fact.reason] : fact.type), [[0, 'cancelled']])
    setup.handle.cancel([second])
    assert.deepEqual(setup.cancelled, [{ block: 1, attempt: 1 }])
  })

  it('an input that cannot be read ends the job, not the worker', async () => {
    const setup = new Setup({ slowReads: true })
    setup.handle.dispatch([{ block: 0, attempt: 1 }])
    setup.reads[0]!.reject(Object.assign(new Error('gone'), { name: 'ConversionError', code: 'input-unreadable' }))
    await new Promise(setImmediate)
    assert.deepEqual(setup.facts, [{ type: 'broken', error: { code: 'input-unreadable', message: 'gone', details: undefined } }])
  })

  it('hears a worker only about its own attempts, once each, and not after it was let go', async () => {
    const setup = new Setup()
    setup.tell(good(0, 'right'), good(0, 'swapped'), good(0, 'foreign', 2))
    assert.deepEqual(setup.facts.map(({ type }) => type), ['ok'])
    assert.deepEqual(setup.shelf.sourceNow(setup.shelf.get(0, 1)), { bytes: Buffer.from('right') })
    await setup.handle.close()
    setup.tell(good(1, 'late'), { ok: false, block: 2, attempt: 1, reason: 'crash', message: 'x' })
    setup.handle.events().lost('gone')
    assert.equal(setup.facts.length, 1)
    assert.equal(setup.closed, 1)
  })

  it('a large result nobody wants is removed from the store', async () => {
    for (const end of [async (setup: Setup) => { await setup.handle.close() }, async (setup: Setup) => { setup.handle.events().lost('gone') }]) {
      const setup = new Setup()
      await end(setup)
      const digest = digestOf('large')
      setup.tell({ ok: true, block: 0, attempt: 1, digest, size: 1e6, output: { stored: { digest, size: 1e6, path: '/x' } }, cpuMs: 1, wallMs: 1 })
      await new Promise(setImmediate)
      assert.deepEqual(setup.deleted, [digest])
    }
  })

  it('looks at the input before it blames a worker for a broken transfer', async () => {
    const setup = new Setup()
    setup.tell({ ok: false, block: 0, attempt: 1, reason: 'transfer', message: 'digest' })
    await new Promise(setImmediate)
    assert.deepEqual(setup.facts.map(({ type }) => type), ['failed'])
    setup.unchanged = async () => { throw Object.assign(new Error('in.csv changed'), { name: 'ConversionError', code: 'input-changed' }) }
    setup.tell({ ok: false, block: 1, attempt: 1, reason: 'transfer', message: 'digest' })
    await new Promise(setImmediate)
    assert.deepEqual(setup.facts.at(-1), { type: 'broken', error: { code: 'input-changed', message: 'in.csv changed', details: undefined } })
  })

  it('gives the line in the file for the line in the block', async () => {
    for (const [parts, line] of [[[], 102], [[{ bytes: Buffer.from('a,b\n') }, { input: 0, offset: 0, length: 1 }], 101]] as Array<[BlockRecipe['parts'], number]>) {
      const setup = new Setup({ recipe: block => recipe(block, parts) })
      setup.tell({ ok: false, block: 0, attempt: 1, reason: 'conversion', code: 'bad-input', message: 'malformed', details: { lineInBlock: 3 } })
      await new Promise(setImmediate)
      const [fact] = setup.facts
      assert.ok(fact?.type === 'failed')
      assert.equal(fact.details?.line, line)
    }
  })

  it('closing never fails', async () => {
    const setup = new Setup({ close: async () => { throw new Error('stream') } })
    await setup.handle.close()
    assert.deepEqual(setup.warnings, ['closing worker peer'])
  })
})
