/** `weft key`: the keys of real nodes, shown, exported, imported and replaced. */
import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDataDir } from '../../daemon/store/index.ts'
import type { KeysShown } from '../../daemon/trust/index.ts'
import { User, type Said } from './cli/fixture.ts'

describe('weft key', function () {
  this.timeout(60_000)
  let user: User
  let other: User

  beforeEach(async () => {
    user = await User.make()
    other = await User.make()
  })
  afterEach(async () => {
    await user.remove()
    await other.remove()
  })

  const good = (said: Said): Said => {
    assert.equal(said.code, 0, said.stderr)
    return said
  }
  const shown = async (of: User): Promise<KeysShown> => JSON.parse(good(await of.run(['key', 'show', '--json'])).stdout) as KeysShown
  const failed = (said: Said, code: number, words: RegExp): void => {
    assert.equal(said.code, code, said.stderr)
    assert.match(said.stderr, words)
    assert.equal(said.stderr.trim().split('\n').length, 1, said.stderr)
  }

  it('shows what init made, and makes nothing itself', async () => {
    failed(await user.run(['key', 'show']), 1, /there are no keys in .*: make them with 'weft init'/)
    failed(await user.run(['key', 'rotate']), 1, /there are no keys in/)
    assert.deepEqual(await readdir(user.folder), [])
    const made = JSON.parse(good(await user.run(['init', '--json'])).stdout) as { peerId: string, operator: string }
    const keys = await shown(user)
    assert.deepEqual([keys.peerId, keys.operator], [made.peerId, made.operator])
    assert.ok((keys.delegation?.expires ?? 0) > Date.now())
    const { stdout } = good(await user.run(['key']))
    for (const text of [keys.peerId, keys.operator, keys.did, keys.files.nodeKey]) assert.ok(stdout.includes(text), text)
    assert.ok(!stdout.includes('PRIVATE'))
    // Looking needs no lock.
    await using _held = await openDataDir(dataDirOf(keys))
    assert.equal((await shown(user)).peerId, keys.peerId)
  })

  it('writes a key to a new file of its owner alone, or to a pipe, never to a terminal', async () => {
    good(await user.run(['init']))
    const { operator, peerId } = await shown(user)
    const out = join(user.folder, 'me.key')
    const { stdout, stderr } = good(await user.run(['key', 'export', '--operator', '--out', 'me.key', '--json']))
    assert.deepEqual(JSON.parse(stdout), { key: 'operator', subject: operator, file: out })
    assert.match(stderr, /Whoever has it can run nodes in your name/)
    assert.equal((await stat(out)).mode & 0o777, 0o600)
    const written = await readFile(out, 'utf8')
    assert.equal(createPrivateKey(written).asymmetricKeyType, 'ed25519')
    failed(await user.run(['key', 'export', '--out', 'me.key']), 1, /exists: a key is never written over something else/)
    await writeFile(join(user.folder, 'target'), 'mine')
    await symlink('target', join(user.folder, 'link'))
    failed(await user.run(['key', 'export', '--out', 'link']), 1, /exists/)
    assert.deepEqual([await readFile(out, 'utf8'), await readFile(join(user.folder, 'target'), 'utf8')], [written, 'mine'])
    failed(await user.run(['key', 'export', '--out', 'nowhere/x']), 1, /its folder does not exist/)
    const piped = good(await user.run(['key', 'export']))
    assert.ok(piped.stdout.startsWith(`Weft node key of ${peerId}.`))
    assert.ok(!piped.stderr.includes('BEGIN'))
    const terminal = await user.run(['key', 'export'], { env: { NODE_OPTIONS: '--import=data:text/javascript,process.stdout.isTTY=true' } })
    failed(terminal, 2, /not printed to a terminal.*--out/)
    assert.equal(terminal.stdout, '')
  })

  it('rotates while nobody holds the directory, and keeps the old key', async () => {
    good(await user.run(['init']))
    const before = await shown(user)
    const dir = dataDirOf(before)
    {
      await using _held = await openDataDir(dir)
      failed(await user.run(['key', 'rotate']), 1, /another weft .* is using .*: stop it with 'weft stop'/)
    }
    const told = JSON.parse(good(await user.run(['key', 'rotate', '--json'])).stdout) as { before: string, now: string, oldKey: string }
    const after = await shown(user)
    assert.deepEqual([told.before, told.now, after.operator], [before.peerId, after.peerId, before.operator])
    assert.notEqual(after.peerId, before.peerId)
    assert.equal(told.oldKey, join(dir, `node.key.${before.peerId}`))
    assert.equal((await stat(told.oldKey)).mode & 0o777, 0o600)
    assert.ok((after.delegation?.issued ?? 0) >= (before.delegation?.issued ?? Infinity))
    assert.match(good(await user.run(['key', 'rotate'])).stderr, /weft invite/)
  })

  it('lets a second machine act for the same operator', async () => {
    good(await user.run(['init']))
    good(await other.run(['init']))
    const [first, second] = [await shown(user), await shown(other)]
    const file = join(user.folder, 'me.key')
    good(await user.run(['key', 'export', '--operator', '--out', file]))
    failed(await other.run(['key', 'import', file]), 2, /add --operator/)
    failed(await other.run(['key', 'import', join(other.folder, 'none'), '--operator']), 2, /does not exist/)
    await writeFile(join(other.folder, 'garbage'), 'not a key', { mode: 0o600 })
    failed(await other.run(['key', 'import', 'garbage', '--operator']), 1, /garbage: this does not hold an Ed25519 private key: export one/)
    good(await other.run(['key', 'import', file, '--operator']))
    const now = await shown(other)
    assert.deepEqual([now.operator, now.peerId], [first.operator, second.peerId])
    assert.ok(now.delegation != null)
    failed(await other.run(['key', 'import', file, '--operator']), 1, /acts for .* already/)
    await chmod(file, 0o644)
    assert.match((await other.run(['key', 'import', file, '--operator'])).stderr, /open to other users/)
    assert.equal((await readdir(dataDirOf(now))).filter(name => name.startsWith('operator.key.did-key-')).length, 1)
  })
})

const dataDirOf = ({ files }: KeysShown): string => join(files.nodeKey, '..')
