import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { openBlockStore, type BlockStoreInit } from '../../../daemon/store/block-store.ts'
import { SPACE_REFRESH_BYTES, SPACE_REFRESH_MS } from '../../../daemon/store/constants.ts'
import type { StoreFullError } from '../../../daemon/store/errors.ts'
import type { BlockSink, BlockStore, StoredBlock } from '../../../daemon/store/index.ts'
import { FaultyFs, type Call } from './faulty-fs.ts'

const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest()
const hex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex')

/** What is really there, incoming included. */
async function du (root: string): Promise<number> {
  let total = 0
  for (const name of await readdir(root, { recursive: true })) {
    const found = await stat(join(root, name))
    if (found.isFile()) total += found.size
  }
  return total
}

describe('store/blocks', () => {
  let root: string
  let folder: string
  let fs: FaultyFs

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-blocks-'))
    folder = join(root, 'blocks')
    await mkdir(folder)
    fs = new FaultyFs()
  })

  afterEach(async () => { await rm(root, { recursive: true, force: true }) })

  const open = async (init: BlockStoreInit = {}): Promise<BlockStore> => await openBlockStore(folder, { fs, ...init })
  const put = async (store: BlockStore, bytes: Uint8Array, options: { size?: number } = {}): Promise<StoredBlock> => {
    const sink = await store.sink(options)
    try {
      await sink.write(bytes)
      return await sink.finish()
    } catch (error) {
      await sink.abort()
      throw error
    }
  }
  const full = (limit: StoreFullError['limit'], freeBytes?: number) => (error: StoreFullError): boolean => {
    assert.equal(error.name, 'StoreFullError', String(error))
    assert.equal(error.limit, limit)
    assert.ok(error.message.includes(folder) && error.message.includes(error.hint) && !error.message.includes('\n'), error.message)
    if (freeBytes != null) assert.equal(error.freeBytes, freeBytes)
    return true
  }

  describe('room', () => {
    it('refuses what would pass the quota, at the byte, and takes it once there is room', async () => {
      const store = await open({ quotaBytes: 100, reserveBytes: 0 })
      const first = await put(store, Buffer.alloc(60, 1))
      await assert.rejects(put(store, Buffer.alloc(41, 2)), full('quota', 40))
      await put(store, Buffer.alloc(40, 3))
      assert.equal(await store.size(), 100)
      await store.delete(first.digest)
      await put(store, Buffer.alloc(60, 4))
      assert.equal(await store.size(), await du(folder))
    })

    it('refuses before anything is written where the size is known', async () => {
      const store = await open({ quotaBytes: 100, reserveBytes: 0 })
      await assert.rejects(store.sink({ size: 101 }), full('quota', 100))
      assert.deepEqual(await readdir(join(folder, 'incoming')), [])
      assert.equal(await store.size(), 0)
      await put(store, Buffer.alloc(100), { size: 100 })
    })

    it('counts what is arriving, of all together', async () => {
      const store = await open({ quotaBytes: 100, reserveBytes: 0 })
      const sinks = await Promise.all([store.sink(), store.sink()])
      await sinks[0]!.write(Buffer.alloc(50))
      await sinks[1]!.write(Buffer.alloc(50))
      await assert.rejects(sinks[0]!.write(Buffer.alloc(1)), full('quota', 0))
      await assert.rejects(sinks[0]!.write(Buffer.alloc(0)), /failed before/)
      await assert.rejects(sinks[0]!.finish(), /failed before/)
      await sinks[0]!.abort()
      await sinks[1]!.write(Buffer.alloc(50))
      assert.equal((await sinks[1]!.finish()).size, 100)
    })

    it('leaves the reserve free, and says how much is left', async () => {
      fs.free = 1000
      const store = await open({ quotaBytes: 10_000, reserveBytes: 900 })
      assert.equal((await store.usage()).leftBytes, 100)
      await assert.rejects(put(store, Buffer.alloc(101)), full('reserve', 100))
      await assert.rejects(put(store, Buffer.alloc(1001)), full('disk', 1000))
      await put(store, Buffer.alloc(100))
    })

    it('asks the disk again before it refuses, and not for every chunk', async () => {
      fs.free = 1000
      const store = await open({ quotaBytes: 2 ** 40, reserveBytes: 0, now: () => 0 })
      await assert.rejects(put(store, Buffer.alloc(2000)), full('disk'))
      fs.free = 2 ** 40
      const sink = await store.sink()
      const before = fs.statfsCalls
      const chunk = Buffer.alloc(64 * 1024)
      for (let sent = 0; sent < SPACE_REFRESH_BYTES; sent += chunk.length) await sink.write(chunk)
      assert.ok(fs.statfsCalls - before <= 2, `${fs.statfsCalls - before} looks for ${SPACE_REFRESH_BYTES} bytes`)
      await sink.abort()
    })

    it('looks again after a while: others write there, too', async () => {
      let now = 0
      fs.free = 1000
      const store = await open({ quotaBytes: 2 ** 40, reserveBytes: 0, now: () => now })
      await put(store, Buffer.alloc(10))
      fs.free = 5
      now = 2000
      await assert.rejects(put(store, Buffer.alloc(10)), full('disk', 5))
    })

    it('of others beside it is refused by what is known now, not by what was long ago', async () => {
      let now = 0
      fs.free = 100
      const store = await open({ quotaBytes: 1000, reserveBytes: 90, now: () => now })
      assert.match(store.beside(11)?.message ?? '', /the disk is full/)
      fs.free = 1000
      now += SPACE_REFRESH_MS + 1
      assert.equal(store.beside(11), undefined)
      await store.usage()
      // The question asked beside it is answered, too.
      await new Promise(setImmediate)
      fs.free = 0
      now += SPACE_REFRESH_MS + 1
      const before = fs.statfsCalls
      store.beside(1)
      assert.equal(fs.statfsCalls, before + 1, 'the disk is asked meanwhile')
      await store.usage()
      assert.match(store.beside(1)?.message ?? '', /the disk is full/)
    })

    it('by default takes half of what is free, beside what it has', async () => {
      fs.free = 1000
      await writeFile(join(folder, hex(sha256(Buffer.alloc(10)))), Buffer.alloc(10))
      const { bytes, blocks, quotaBytes, reserveBytes } = await (await open()).usage()
      assert.deepEqual({ bytes, blocks, quotaBytes, reserveBytes }, { bytes: 10, blocks: 1, quotaBytes: 510, reserveBytes: 256 * 1024 * 1024 })
    })

    it('takes files over within the quota only, and leaves those it refuses where they are', async () => {
      const store = await open({ quotaBytes: 10, reserveBytes: 0 })
      const path = join(root, 'made')
      await writeFile(path, Buffer.alloc(11))
      await assert.rejects(store.adopt(path, sha256(Buffer.alloc(11)), 11), full('quota', 10))
      assert.equal((await stat(path)).size, 11)
      await writeFile(path, Buffer.alloc(10))
      await store.adopt(path, sha256(Buffer.alloc(10)), 10)
      assert.equal(await store.size(), 10)
    })
  })

  describe('collecting', () => {
    let now: number
    const HOUR = 3_600_000

    beforeEach(() => { now = 0 })

    it('gives up what nobody needs, that used longest ago first, and only as much as is wanted', async () => {
      const store = await open({ quotaBytes: 30, reserveBytes: 0, now: () => now })
      const blocks: StoredBlock[] = []
      for (let i = 0; i < 3; i++) blocks.push(await put(store, Buffer.alloc(10, i)))
      const [a, b, c] = blocks.map(({ digest }) => digest) as [Uint8Array, Uint8Array, Uint8Array]
      now += HOUR
      await assert.rejects(put(store, Buffer.alloc(10, 9)), full('quota'), 'nobody said yet what is needed')
      store.protect(digest => Buffer.compare(digest, a) === 0 ? 'needed' : undefined)
      await store.get(b)
      await put(store, Buffer.alloc(10, 9))
      assert.deepEqual([await store.get(a), await store.get(b), await store.get(c)].map(found => found != null), [true, true, false])
      await put(store, Buffer.alloc(10, 10))
      assert.deepEqual([await store.get(a), await store.get(b)].map(found => found != null), [true, false])
      await assert.rejects(put(store, Buffer.alloc(30, 11)), full('quota'), 'what was just stored may be needed in a moment')
      assert.ok(await store.get(a))
      assert.equal(await store.size(), await du(folder))
    })

    it('gives up at once what is kept for somebody who could do without it', async () => {
      const store = await open({ quotaBytes: 30, reserveBytes: 0, now: () => now })
      const [a, b, c] = [await put(store, Buffer.alloc(10, 1)), await put(store, Buffer.alloc(10, 2)), await put(store, Buffer.alloc(10, 3))]
      store.protect(digest => digest === a.digest ? undefined : Buffer.compare(digest, b.digest) === 0 ? 'spare' : Buffer.compare(digest, c.digest) === 0 ? 'needed' : undefined)
      await put(store, Buffer.alloc(10, 4))
      assert.deepEqual(await Promise.all([a, b, c].map(async ({ digest }) => await store.get(digest) != null)), [true, false, true])
      await assert.rejects(put(store, Buffer.alloc(10, 5)), full('quota', 0))
    })

    it('knows the order of an earlier run by its files', async () => {
      for (const [i, time] of [3000, 1000, 2000].entries()) {
        const path = join(folder, hex(sha256(Buffer.alloc(10, i))))
        await writeFile(path, Buffer.alloc(10, i))
        await utimes(path, time, time)
      }
      const store = await open({ quotaBytes: 30, reserveBytes: 0, now: () => now })
      store.protect(() => undefined)
      await put(store, Buffer.alloc(5, 9))
      assert.deepEqual(await Promise.all([0, 1, 2].map(async i => await store.get(sha256(Buffer.alloc(10, i))) != null)), [true, false, true])
    })
  })

  describe('failing disks', () => {
    const cases: Array<{ call: Call, code: string, on: RegExp, where: 'write' | 'finish' }> = [
      { call: 'write', code: 'ENOSPC', on: /incoming/, where: 'write' },
      { call: 'write', code: 'EIO', on: /incoming/, where: 'write' },
      { call: 'datasync', code: 'EIO', on: /incoming/, where: 'finish' },
      { call: 'datasync', code: 'ENOSPC', on: /incoming/, where: 'finish' },
      { call: 'close', code: 'EIO', on: /incoming/, where: 'finish' },
      { call: 'rename', code: 'EIO', on: /incoming/, where: 'finish' },
      { call: 'sync', code: 'EIO', on: /blocks$/, where: 'finish' }
    ]
    for (const { call, code, on, where } of cases) {
      it(`${code} of ${call}: nothing of the block stays, nothing is counted, and it can be written again`, async () => {
        const store = await open({ quotaBytes: 1000, reserveBytes: 0 })
        const bytes = Buffer.alloc(100, 7)
        const sink = await store.sink()
        fs.fault = (called, path) => called === call && on.test(path) ? code : undefined
        await assert.rejects(async () => {
          await sink.write(bytes)
          assert.equal(where, 'finish')
          await sink.finish()
        }, (error: Error & { code: string }) => code === 'ENOSPC' ? error.name === 'StoreFullError' && error.message.includes(folder) : error.code === code)
        await sink.abort()
        fs.fault = () => undefined
        assert.equal(await store.get(sha256(bytes)), undefined)
        assert.equal(await store.size(), 0)
        assert.equal(await du(folder), 0)
        assert.deepEqual(await readFile((await put(store, bytes)).path), bytes)
      })
    }

    it('a file whose sync failed is not asked to sync again', async () => {
      const store = await open()
      const sink = await store.sink()
      await sink.write(Buffer.alloc(10))
      let syncs = 0
      fs.fault = call => call === 'datasync' && syncs++ === 0 ? 'EIO' : undefined
      await assert.rejects(sink.finish(), { code: 'EIO' })
      await assert.rejects(sink.finish(), /ended/)
      assert.equal(syncs, 1)
      assert.equal(await du(folder), 0)
    })

    it('content that was there before outlives a failed sync of its second copy', async () => {
      const store = await open()
      const { digest } = await put(store, Buffer.alloc(10, 1))
      fs.fault = (call, path) => call === 'sync' && path === folder ? 'EIO' : undefined
      await assert.rejects(put(store, Buffer.alloc(10, 1)), { code: 'EIO' })
      assert.ok(await store.get(digest))
      assert.equal(await store.size(), 10)
    })

    it('what cannot be removed stays counted, and the next start removes it', async () => {
      const store = await open()
      const sink = await store.sink()
      await sink.write(Buffer.alloc(10))
      fs.fault = call => call === 'rm' ? 'EIO' : undefined
      await sink.abort()
      assert.equal(await store.size(), 10)
      assert.equal(await du(folder), 10)
      fs.fault = () => undefined
      assert.equal(await (await open()).size(), 0)
      assert.equal(await du(folder), 0)
    })

    it('a folder that takes no new file says so in one line', async () => {
      const store = await open()
      fs.fault = call => call === 'open' ? 'ENOSPC' : undefined
      await assert.rejects(store.sink(), full('disk'))
    })

    it('reading that fails is not taken for a block that is not there', async () => {
      const store = await open()
      const { digest } = await put(store, Buffer.alloc(10))
      fs.fault = call => call === 'stat' ? 'EIO' : undefined
      await assert.rejects(store.get(digest), { code: 'EIO' })
    })
  })

  it('law: the count is what is there, never negative and never over the quota, whatever happens in which order', async function () {
    this.timeout(120_000)
    type Step = { do: 'open', content: number } | { do: 'write', size: number } | { do: 'finish' } | { do: 'abort' } | { do: 'delete', content: number } | { do: 'fault', call: Call } | { do: 'reopen' } | { do: 'adopt', content: number, size: number } | { do: 'together', content: number }
    const content = fc.integer({ min: 0, max: 3 })
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.record({ do: fc.constant('open' as const), content }),
      fc.record({ do: fc.constant('write' as const), size: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ do: fc.constant('finish' as const) }),
      fc.record({ do: fc.constant('abort' as const) }),
      fc.record({ do: fc.constant('delete' as const), content }),
      fc.record({ do: fc.constant('adopt' as const), content, size: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ do: fc.constant('together' as const), content }),
      fc.record({ do: fc.constant('fault' as const), call: fc.constantFrom<Call>('write', 'datasync', 'rename', 'sync', 'close', 'open') }),
      fc.record({ do: fc.constant('reopen' as const) })
    )
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      await rm(folder, { recursive: true, force: true })
      await mkdir(folder)
      fs.fault = () => undefined
      let store = await open({ quotaBytes: 1000, reserveBytes: 0 })
      const opened: Array<{ sink: BlockSink, content: number }> = []
      const digests = new Set<string>()
      const one = async (now: Step): Promise<void> => {
        switch (now.do) {
          case 'open': opened.push({ sink: await store.sink(), content: now.content }); break
          case 'write': await opened[0]?.sink.write(Buffer.alloc(now.size, opened[0].content)); break
          case 'finish': {
            const ended = opened.shift()
            try {
              const block = await ended?.sink.finish()
              if (block != null) digests.add(hex(block.digest))
            } finally {
              await ended?.sink.abort()
            }
            break
          }
          case 'abort': await opened.shift()?.sink.abort(); break
          case 'delete': await store.delete(Buffer.from([...digests][now.content] ?? '00'.repeat(32), 'hex')); break
          case 'adopt': {
            const bytes = Buffer.alloc(now.size, now.content)
            await writeFile(join(root, 'adopted'), bytes)
            await store.adopt(join(root, 'adopted'), sha256(bytes), now.size)
            digests.add(hex(sha256(bytes)))
            break
          }
          case 'together': {
            // The same content, stored and removed at once.
            const bytes = Buffer.alloc(50, now.content)
            await Promise.allSettled([put(store, bytes), store.delete(sha256(bytes)), put(store, bytes), store.delete(sha256(bytes))])
            digests.add(hex(sha256(bytes)))
            break
          }
          case 'fault': fs.fault = call => call === now.call ? 'EIO' : undefined; return
          case 'reopen': {
            // As after a crash: what was arriving is of nobody. (Its descriptors are closed for the sake of this process.)
            fs.fault = () => undefined
            store = await open({ quotaBytes: 1000, reserveBytes: 0 })
            for (const { sink } of opened.splice(0)) await sink.abort()
          }
        }
      }
      for (const now of steps) {
        await one(now).catch(() => { /* refused or failed: the law holds all the same */ })
        if (now.do !== 'fault') fs.fault = () => undefined
        const used = await store.size()
        assert.ok(used >= 0 && used <= 1000, `${used} bytes`)
        // A chunk that failed half-way counts whole until its sink is aborted.
        assert.ok(used >= await du(folder), `${used} counted, ${await du(folder)} there`)
      }
      for (const { sink } of opened) await sink.abort()
      assert.equal(await store.size(), await du(folder))
    }), { numRuns: 150 })
  })
})
