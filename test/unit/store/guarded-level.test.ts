import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { GuardedLevel } from '../../../daemon/store/guarded-level.ts'
import { requires } from '../../fixtures/requires.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const native = Level.prototype as unknown as Record<'_batch' | '_put' | '_open' | '_close', (...args: unknown[]) => Promise<void>>

describe('store/guarded-level', () => {
  let root: string
  let db: GuardedLevel
  let said: string[]
  const originals = { _batch: native._batch, _put: native._put, _open: native._open, _close: native._close }

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-guarded-'))
    said = []
    const note = (_fields: object, message: string): void => { said.push(message) }
    db = new GuardedLevel(root, { createIfMissing: true, log: { warn: note, info: note } })
    await db.open()
  })

  afterEach(async () => {
    Object.assign(native, originals)
    await db.close()
    await rm(root, { recursive: true, force: true })
  })

  /** The next call of the binding fails; gives how often the binding was asked to open the database since. */
  function failNext (name: '_batch' | '_put' | '_open', message = 'IO error: 000003.log: Input/output error'): { opened: () => number } {
    let opened = 0
    let failed = false
    native._open = async function (this: unknown, ...args) {
      opened++
      if (name === '_open' && !failed) {
        failed = true
        throw new Error(message)
      }
      await originals._open.apply(this, args)
    }
    if (name !== '_open') {
      native[name] = async () => {
        native[name] = originals[name]
        throw new Error(message)
      }
    }
    return { opened: () => opened }
  }

  it('opens the database anew before the next write, whoever failed, and every handle stays valid', async () => {
    const sub = db.sublevel<string, Uint8Array>('peers', { keyEncoding: 'utf8', valueEncoding: 'view' })
    await sub.put('k', bytes('v'), {})
    const { opened } = failNext('_put')
    await assert.rejects(sub.put('x', bytes('1'), {}), /Input\/output error/)
    assert.equal(db.broken, true)
    assert.equal(opened(), 0)
    assert.equal(Buffer.from(await sub.get('k') ?? []).toString(), 'v')
    await db.batch([{ type: 'put', key: 'y', value: bytes('2') }])
    assert.equal(opened(), 1)
    assert.equal(db.broken, false)
    assert.equal(Buffer.from(await sub.get('k') ?? []).toString(), 'v')
    await sub.put('x', bytes('3'), {})
    await sub.batch([{ type: 'del', key: 'k' }])
    assert.deepEqual(await sub.keys().all(), ['x'])
    assert.deepEqual(said, ['a write to the database failed; it is opened anew before the next one', 'the database was opened anew and takes writes again'])
  })

  it('waits for who is reading, and lets who reads next wait', async () => {
    for (let i = 0; i < 2000; i++) await db.put(String(i).padStart(5, '0'), bytes('x'), {})
    failNext('_batch')
    await assert.rejects(db.batch([{ type: 'put', key: 'a', value: bytes('1') }]))
    let read = 0
    const reading = (async () => { for await (const _ of db.iterator()) read++ })()
    const writing = db.put('b', bytes('2'), {})
    const got = db.get('00007')
    await Promise.all([reading, writing, got])
    assert.equal(read, 2000)
    assert.equal(Buffer.from(await got ?? []).toString(), 'x')
  })

  it('does not wait for ever for an iterator nobody goes on with', async () => {
    for (let i = 0; i < 3; i++) await db.put(String(i), bytes('x'), {})
    const iterator = db.iterator()
    await iterator.next()
    failNext('_batch')
    await assert.rejects(db.batch([{ type: 'put', key: 'a', value: bytes('1') }]))
    await db.put('b', bytes('2'), {})
    await assert.rejects(iterator.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' })
  })

  it('where opening it anew fails nothing crashes, and the next one tries again', async () => {
    await db.put('k', bytes('v'), {})
    failNext('_batch')
    await assert.rejects(db.batch([{ type: 'put', key: 'a', value: bytes('1') }]))
    failNext('_open', 'IO error: MANIFEST-000005: No space left on device')
    await assert.rejects(db.put('b', bytes('2'), {}), { name: 'StoreFullError', message: new RegExp(`^the disk is full for ${root} \\(\\d+ bytes free\\): make room`) })
    assert.throws(() => db.iterator(), /opened anew/)
    assert.throws(() => db.getSync('k'), /opened anew/)
    const deadline = performance.now() + 10_000
    for (;;) {
      // A trial write follows another only after a while.
      const value = await db.get('k').catch(() => undefined)
      if (value != null) break
      assert.ok(performance.now() < deadline, 'it never came back')
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    await db.put('b', bytes('2'), {})
    assert.equal((await db.keys().all()).length, 2)
  })

  it('can be closed while it is broken, and while it is down', async () => {
    failNext('_batch')
    await assert.rejects(db.batch([{ type: 'put', key: 'a', value: bytes('1') }]))
    failNext('_open')
    await assert.rejects(db.put('b', bytes('2'), {}))
    await db.close()
    await db.open()
    await db.put('c', bytes('3'), {})
    assert.deepEqual(await db.keys().all(), ['c'])
  })

  it('writes go one after the other, so that none can follow a failed one unknowingly', async () => {
    let under = 0
    let most = 0
    native._put = async function (this: unknown, ...args) {
      most = Math.max(most, ++under)
      await originals._put.apply(this, args)
      under--
    }
    await Promise.all(Array.from({ length: 20 }, async (_, i) => { await db.put(String(i), bytes('x'), {}) }))
    assert.equal(most, 1)
    assert.equal((await db.keys().all()).length, 20)
  })

  it('lets no chained batch pass it by', () => {
    assert.throws(() => db.batch(), /pass the guard by/)
  })
})

describe('store on a disk that fills up', function () {
  this.timeout(120_000)
  requires('userns', 'that nothing told durable is lost when the disk was full in between')

  it('loses nothing that was told durable, and writes again once there is room', async () => {
    const disk = await mkdtemp(join(tmpdir(), 'weft-small-'))
    await mkdir(join(disk, 'm'))
    try {
      const script = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" "$3" "$1" 7 20'
      const { status, stdout, stderr } = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', join(disk, 'm'), process.execPath, join(import.meta.dirname, 'full-disk-child.ts')], { encoding: 'utf8', timeout: 110_000 })
      assert.equal(status, 0, stderr)
      const { durable, lost, corrupt, failed, refusedAfterRoom, messages, readsWhileFull } = JSON.parse(stdout) as { durable: number, lost: number, corrupt: number, failed: number, refusedAfterRoom: string[], messages: string[], readsWhileFull: number }
      assert.deepEqual({ lost, corrupt, refusedAfterRoom }, { lost: 0, corrupt: 0, refusedAfterRoom: [] })
      assert.ok(failed >= 40 && durable > 400, `${failed} writes failed, ${durable} were durable`)
      assert.equal(readsWhileFull, 120)
      for (const message of messages) assert.match(message, /^the disk is full for \S+ \(\d+ bytes free\): make room on that disk, or move the data directory to another one with WEFT_HOME$/)
    } finally {
      await rm(disk, { recursive: true, force: true })
    }
  })
})
