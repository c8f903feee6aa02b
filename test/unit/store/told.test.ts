/** What becomes of a full disk on its way from the store to the user. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterFailure } from '../../../daemon/coordinator/failure-policy.ts'
import { toOutputError } from '../../../daemon/coordinator/job-errors.ts'
import { openFloors } from '../../../daemon/dht-registry/floors.ts'
import { openSequence } from '../../../daemon/dht-registry/sequence.ts'
import { openSequence as openBulletinSequence } from '../../../daemon/market/sequence.ts'
import { openDataDir, saysNoSpace, type DataDir } from '../../../daemon/store/index.ts'
import { StoreFullError } from '../../../daemon/store/errors.ts'

const full = new StoreFullError({ path: '/data', limit: 'reserve', wantedBytes: 30, freeBytes: 20 })

describe('store: what is told of a full disk', () => {
  it('is one line with place, bytes and what to do', () => {
    assert.equal(full.message, 'the disk is full for /data (20 bytes free beyond those kept back, 30 wanted): make room on that disk, move the data directory to another one with WEFT_HOME, or lower store.reserveBytes')
    assert.match(new StoreFullError({ path: '/data', limit: 'quota', wantedBytes: 0, freeBytes: 5 }).message, /^the store in \/data has used up its quota \(5 bytes free\): raise store\.quotaBytes/)
    assert.match(new StoreFullError({ path: '/data', limit: 'disk', wantedBytes: 0, freeBytes: undefined }).message, /its free space cannot be read/)
  })

  it('is known by whatever says it', () => {
    for (const error of [full, { code: 'ENOSPC' }, { code: 'EDQUOT' }, new Error('IO error: /db/000003.log: No space left on device'), new Error('ENOSPC: no space left on device, write')]) assert.equal(saysNoSpace(error), true)
    for (const error of [new Error('EIO: i/o error'), { code: 'ENOENT' }, undefined, null, 'text']) assert.equal(saysNoSpace(error), false)
  })

  it('ends a job, with the same line, whoever converted the block', () => {
    for (const remote of [true, false]) {
      const verdict = afterFailure({ block: 3, reason: 'store', message: full.message }, { remote, blamed: false })
      assert.deepEqual(verdict, { kind: 'job', error: { code: 'failed', message: `storing a result: ${full.message}`, details: { system: 'ENOSPC' } } })
    }
  })

  it('of an output names its folder and the bytes that are free there', () => {
    const { code, message } = toOutputError({ code: 'ENOSPC' }, join(tmpdir(), 'out.csv'))
    assert.equal(code, 'output-unwritable')
    assert.match(message, new RegExp(`^cannot write '${tmpdir()}/out\\.csv': the disk is full \\(\\d+ bytes free in ${tmpdir()}\\); make room there, or name an output on another disk$`))
    assert.match(toOutputError({ code: 'ENOSPC' }, '/no/such/folder/out.csv').message, /the disk is full; make room there/)
  })
})

describe('store: who writes into a database that takes no writes', () => {
  let root: string
  let dir: DataDir

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-told-'))
    dir = await openDataDir(join(root, 'data'))
    const refused = async (): Promise<never> => { throw full }
    Object.assign(dir.db, { _put: refused, _batch: refused, _del: refused })
  })

  afterEach(async () => {
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  it('sequences go on rising', async () => {
    const own = await openSequence(dir.db)
    assert.deepEqual([await own.next(1000), await own.next(1000), await own.next(900)], [1000, 1001, 1002])
    const bulletins = await openBulletinSequence(dir.db)
    assert.deepEqual([await bulletins.next(1000), await bulletins.next(1000)], [1000, 1001])
  })

  it('adverts of others are admitted, and older ones are still refused', async () => {
    const floors = await openFloors({ db: dir.db, now: () => 0 })
    const candidate = (sequence: number, text: string): Parameters<typeof floors.admit>[0] => ({ peer: 'p', kind: 'advert', sequence, issued: 0, digest: createHash('sha256').update(text).digest() })
    await floors.admit(candidate(5, 'a'))
    await assert.rejects(floors.admit(candidate(4, 'b')), /sequence/)
    await assert.rejects(floors.admit(candidate(5, 'b')), /other content/)
    assert.equal(floors.sequence('p'), 5)
  })

  it('journals refuse results before the disk is full, and still take records', async () => {
    await dir.close()
    dir = await openDataDir(join(root, 'data'), { reserveBytes: Number.MAX_SAFE_INTEGER })
    const journal = dir.journal('jobs')
    // What was known long ago would refuse nothing.
    await dir.blocks.usage()
    const error = await new Promise<Error | undefined>(resolve => { journal.appendThen('blk/1', Buffer.alloc(100), resolve) })
    assert.equal(error?.name, 'StoreFullError')
    assert.ok(error.message.includes(dir.path) && error.message.includes('reserveBytes'))
    await journal.append('job/1', Buffer.alloc(100))
    const keys: string[] = []
    for await (const [key] of journal.entries('')) keys.push(key)
    assert.deepEqual(keys, ['job/1'])
  })

  it('a small file that cannot be written leaves the one before, and nothing beside it', async () => {
    await dir.writeSecret('token', 'one')
    // Nothing can be renamed over a folder that is not empty.
    await mkdir(join(dir.path, 'folder'))
    await writeFile(join(dir.path, 'folder', 'x'), '')
    await assert.rejects(dir.writeSecret('folder', 'y'))
    assert.equal(Buffer.from(await dir.readFile('token') ?? []).toString(), 'one')
    assert.deepEqual((await readdir(dir.path)).filter(name => name.startsWith('folder')), ['folder'])
  })
})
