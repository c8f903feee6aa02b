import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDataDir } from '../../../daemon/store/index.ts'
import type { DataDir } from '../../../daemon/store/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest()

describe('store', () => {
  let root: string
  let dir: DataDir

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-store-'))
    dir = await openDataDir(join(root, 'data'))
  })

  afterEach(async () => {
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  it('locks the directory and names the process that holds it', async () => {
    await assert.rejects(openDataDir(dir.path), (error: Error) => error.name === 'DataDirLockedError' && error.message.includes(String(process.pid)))
    await dir.close()
    await (await openDataDir(dir.path)).close()
  })

  it('says what is wrong when the path is a file', async () => {
    await writeFile(join(root, 'file'), '')
    await assert.rejects(openDataDir(join(root, 'file')), { name: 'DataDirError', message: /file is in the way|not a directory|part of the path/ })
  })

  it('keeps secrets to the user', async () => {
    await dir.writeSecret('token', 'abc')
    assert.equal((await stat(join(dir.path, 'token'))).mode & 0o777, 0o600)
    assert.equal((await stat(dir.path)).mode & 0o777, 0o700)
    assert.equal(Buffer.from(await dir.readFile('token') ?? []).toString(), 'abc')
    await dir.removeFile('token')
    assert.equal(await dir.readFile('token'), undefined)
  })

  it('stores blocks under their digest, and nothing of an aborted one', async () => {
    const sink = await dir.blocks.sink()
    await sink.write(bytes('hello '))
    await sink.write(bytes('world'))
    const block = await sink.finish()
    assert.deepEqual(Buffer.from(block.digest), sha256(bytes('hello world')))
    assert.equal(await readFile(block.path, 'utf8'), 'hello world')
    assert.equal((await dir.blocks.get(block.digest))?.size, 11)
    const other = await dir.blocks.sink()
    await other.write(bytes('gone'))
    await other.abort()
    assert.deepEqual(await readdir(join(dir.path, 'blocks', 'incoming')), [])
    assert.equal(await dir.blocks.size(), 11)
    await dir.blocks.delete(block.digest)
    await dir.blocks.delete(block.digest)
    assert.equal(await dir.blocks.get(block.digest), undefined)
  })

  it('sweeps what nothing refers to', async () => {
    const digests: Uint8Array[] = []
    for (const text of ['one', 'two', 'three']) {
      const sink = await dir.blocks.sink()
      await sink.write(bytes(text))
      digests.push((await sink.finish()).digest)
    }
    const kept = digests[1] as Uint8Array
    assert.equal(await dir.blocks.sweep(digest => Buffer.compare(digest, kept) === 0), 2)
    assert.equal(await dir.blocks.size(), 3)
    assert.ok(await dir.blocks.get(kept))
  })

  it('adopts a finished file', async () => {
    const path = join(dir.scratch, 'x')
    await writeFile(path, 'abc')
    const block = await dir.blocks.adopt(path, sha256(bytes('abc')), 3)
    assert.equal(await readFile(block.path, 'utf8'), 'abc')
    await assert.rejects(stat(path), { code: 'ENOENT' })
  })

  it('journals in order, in few commits, and finds everything after reopening', async () => {
    const journal = dir.journal('jobs')
    const order: number[] = []
    await new Promise<void>((resolve, reject) => {
      for (let i = 0; i < 5000; i++) {
        journal.appendThen(`a/${String(i).padStart(6, '0')}`, bytes(String(i)), error => {
          if (error != null) reject(error)
          order.push(i)
          if (i === 4999) resolve()
        })
      }
    })
    await journal.append('b/1', bytes('x'))
    await journal.remove('b/1')
    assert.deepEqual(order, Array.from({ length: 5000 }, (_, i) => i))
    assert.equal(journal.stats().entries, 5002)
    assert.ok(journal.stats().commits <= 6, `${journal.stats().commits} commits`)
    await dir.close()
    await assert.rejects(journal.append('c', bytes('late')), /closed/)
    dir = await openDataDir(dir.path)
    const found: string[] = []
    for await (const [key, value] of dir.journal('jobs').entries('')) found.push(`${key}=${Buffer.from(value).toString()}`)
    assert.equal(found.length, 5000)
    assert.equal(found[4999], 'a/004999=4999')
    for await (const _ of dir.journal('other').entries('')) assert.fail('another journal sees no entry')
  })
})
