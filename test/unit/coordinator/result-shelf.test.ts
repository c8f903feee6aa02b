import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import type { BlockSink, StoredBlock } from '../../../daemon/store/index.ts'

const bytes = Buffer.alloc(100_000, 1)
const digest = hash('sha256', bytes, 'buffer')
const block: StoredBlock = { digest, size: bytes.length, path: '/blocks/a' }

/** A store of one block whose writes end when the test says so. */
class Setup {
  /** Whether the file is there. */
  there = false
  readonly writes: Array<PromiseWithResolvers<void>> = []
  readonly removal = Promise.withResolvers<void>()
  readonly refs: BlockRefs
  readonly shelf: ResultShelf

  constructor (slowRemoval = false) {
    this.refs = new BlockRefs({
      delete: async () => {
        if (slowRemoval) await this.removal.promise
        this.there = false
      },
      get: async () => this.there ? block : undefined
    }, () => 0, error => { throw error })
    const sink = (): BlockSink => ({
      write: async () => {},
      finish: async () => {
        const write = Promise.withResolvers<void>()
        this.writes.push(write)
        await write.promise
        this.there = true
        return block
      },
      abort: async () => {}
    }) as BlockSink
    this.shelf = new ResultShelf({ blocks: { sink: async () => sink() }, journal: { entries: () => assert.fail(), remove: async () => {} }, refs: this.refs }, 'key')
    this.shelf.put('peer', { ok: true, block: 0, attempt: 1, digest, size: bytes.length, output: { bytes }, cpuMs: 1, wallMs: 1 })
  }

  /** Waits for the nth write. */
  async write (n: number): Promise<PromiseWithResolvers<void>> {
    for (;;) {
      const write = this.writes[n]
      if (write != null) return write
      await new Promise(setImmediate)
    }
  }
}

describe('coordinator/result-shelf while a result is stored', () => {
  it('a result that is let go meanwhile does not stay in the store', async () => {
    for (const letGo of [(shelf: ResultShelf) => { shelf.clear() }, (shelf: ResultShelf) => { void shelf.discard(0, 1) }]) {
      const on = new Setup()
      const storing = on.shelf.store(on.shelf.get(0, 1))
      const write = await on.write(0)
      letGo(on.shelf)
      let idle = false
      const waiting = on.shelf.idle().then(() => { idle = true })
      await new Promise(setImmediate)
      assert.equal(idle, false, 'it is waited for')
      write.resolve()
      await Promise.all([storing, waiting, on.refs.idle()])
      assert.equal(on.there, false)
    }
  })

  it('also where it has to be written again, since a removal overtook it', async () => {
    const on = new Setup(true)
    on.refs.retain(block)
    on.refs.release(digest)
    const storing = on.shelf.store(on.shelf.get(0, 1))
    ;(await on.write(0)).resolve()
    await new Promise(setImmediate)
    on.removal.resolve()
    const again = await on.write(1)
    on.shelf.clear()
    again.resolve()
    await storing
    await on.refs.idle()
    assert.equal(on.there, false)
  })

  it('is not stored any more once it was let go', async () => {
    const on = new Setup()
    const result = on.shelf.get(0, 1)
    on.shelf.clear()
    await on.shelf.store(result)
    assert.equal(on.writes.length, 0)
  })

  it('a result that stays is read from where it was stored', async () => {
    const on = new Setup()
    const result = on.shelf.get(0, 1)
    const storing = on.shelf.store(result)
    ;(await on.write(0)).resolve()
    await storing
    assert.deepEqual(on.shelf.sourceNow(result), { path: '/blocks/a', size: bytes.length })
    assert.equal(result.bytes, undefined)
    assert.equal(on.there, true)
  })
})
