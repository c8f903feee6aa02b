import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DATA_DIR_VERSION } from '../../../daemon/store/constants.ts'
import { openDataDir } from '../../../daemon/store/index.ts'
import { migrate, readVersion, type Migration } from '../../../daemon/store/versions.ts'

describe('store/versions', () => {
  let home: string

  beforeEach(async () => { home = join(await mkdtemp(join(tmpdir(), 'weft-versions-')), 'data') })
  afterEach(async () => { await rm(join(home, '..'), { recursive: true, force: true }) })

  /** Every file with its bytes and times. */
  async function everything (): Promise<Array<[string, number, number, string]>> {
    const found: Array<[string, number, number, string]> = []
    for (const name of (await readdir(home, { recursive: true })).toSorted()) {
      const { mtimeMs, size, mode } = await stat(join(home, name))
      found.push([name, mtimeMs, mode, (mode & 0o170000) === 0o100000 ? await readFile(join(home, name), 'latin1') : String(size)])
    }
    return found
  }

  const version = async (): Promise<string> => (await readFile(join(home, 'version'), 'utf8')).trim()

  it('a new directory has the present version', async () => {
    await (await openDataDir(home)).close()
    assert.equal(await version(), String(DATA_DIR_VERSION))
  })

  it('a newer format is refused, and nothing of it is touched', async () => {
    const dir = await openDataDir(home)
    await dir.journal('jobs').append('a', Buffer.from('1'))
    await dir.close()
    await mkdir(join(home, 'scratch'))
    await writeFile(join(home, 'scratch', 'of-a-newer-one'), 'x')
    await writeFile(join(home, 'blocks', 'incoming', 'half'), 'x')
    await writeFile(join(home, 'version'), `${DATA_DIR_VERSION + 1}\n`)
    const before = await everything()
    await assert.rejects(openDataDir(home), { name: 'DataDirVersionError', message: /use a newer weft/ })
    assert.deepEqual(await everything(), before)
  })

  it('what is no version is refused with what to do', async () => {
    await (await openDataDir(home)).close()
    for (const text of ['x', '', '0', '1.5', '-1']) {
      await writeFile(join(home, 'version'), text)
      await assert.rejects(openDataDir(home), { name: 'DataDirError', message: /does not hold a version number: restore it, or move/ }, text)
    }
  })

  it('an older one goes through every step in order, each recorded when it is done', async () => {
    await using dir = await openDataDir(home)
    await writeFile(join(home, 'version'), '1\n')
    const seen: string[] = []
    const step = (name: string, fails = false): Migration => async ({ db }) => {
      seen.push(`${name} at ${await version()}`)
      if (fails) throw new Error('a crash')
      await db.put(`step/${name}`, Buffer.from('done'), {})
    }
    await assert.rejects(migrate(dir, await readVersion(home, 4), [step('1-2'), step('2-3', true), step('3-4')], 4), /a crash/)
    assert.equal(await version(), '2')
    await migrate(dir, await readVersion(home, 4), [step('1-2'), step('2-3'), step('3-4')], 4)
    assert.deepEqual(seen, ['1-2 at 1', '2-3 at 2', '2-3 at 2', '3-4 at 3'])
    assert.equal(await version(), '4')
    await migrate(dir, await readVersion(home, 4), [], 4)
    await assert.rejects(migrate(dir, 4, [], 5), { name: 'DataDirError', message: /no way from it to 5/ })
  })

  it('files that a killed run left half-written go at the next start, and no others', async () => {
    await (await openDataDir(home)).close()
    const uuid = '01234567-89ab-cdef-0123-456789abcdef'
    for (const name of [`token.${uuid}`, `trial-${uuid}`, 'config.json', 'notes.txt', `${uuid}`]) await writeFile(join(home, name), 'x')
    await (await openDataDir(home)).close()
    assert.deepEqual((await readdir(home)).filter(name => name.includes('0123') || name.includes('.')).toSorted(), [uuid, 'config.json', 'notes.txt'])
  })
})
