import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { KEY_EXPORT_BYTES_MAX } from '../../../daemon/trust/constants.ts'
import { IdentityError } from '../../../daemon/trust/errors.ts'
import { loadOrCreateIdentity, verifyDelegation, type IdentityDir } from '../../../daemon/trust/identity.ts'
import { exportKey, importOperatorKey, rotateNodeKey, showKeys } from '../../../daemon/trust/key-files.ts'

const NOW = Date.UTC(2026, 0, 1)
const LATER = NOW + 60_000

describe('trust: key files', () => {
  let paths: string[] = []
  const fresh = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), 'weft-keys-'))
    paths.push(path)
    return path
  }
  afterEach(async () => {
    for (const path of paths) await rm(path, { recursive: true })
    paths = []
  })

  const refused = (code: IdentityError['code'], message: RegExp) => (error: unknown): boolean => error instanceof IdentityError && error.code === code && message.test(error.message)

  it('shows who the node is and makes nothing', async () => {
    const path = await fresh()
    await assert.rejects(showKeys(directory(path)), refused('not-initialised', /weft init/))
    assert.deepEqual(await readdir(path), [])
    const { peerId, operator, did } = await loadOrCreateIdentity(directory(path), { network: 'n', now: NOW })
    const shown = await showKeys(directory(path), LATER)
    assert.deepEqual([shown.peerId, shown.operator, shown.did, shown.testNetwork], [peerId.toString(), operator, did, undefined])
    assert.deepEqual(shown.delegation, { issued: NOW, expires: NOW + 365 * 24 * 60 * 60 * 1000 })
    assert.equal(shown.files.nodeKey, join(path, 'node.key'))
    await writeFile(join(path, 'delegation'), 'garbage')
    assert.equal((await showKeys(directory(path), LATER)).delegation, undefined)
    await rm(join(path, 'operator.key'))
    await assert.rejects(showKeys(directory(path)), refused('missing', /operator\.key is missing/))
  })

  it('exports keys that other programs read, under a line that says what they are', async () => {
    const path = await fresh()
    const identity = await loadOrCreateIdentity(directory(path), { network: 'n', now: NOW })
    for (const [which, key, subject] of [['node', identity.nodeKey, identity.peerId.toString()], ['operator', identity.operatorKey, identity.operator]] as const) {
      const exported = await exportKey(directory(path), which)
      assert.equal(exported.subject, subject)
      assert.ok(exported.pem.startsWith(`Weft ${which} key of ${subject}. Secret:`), exported.pem.slice(0, 50))
      const { x } = createPublicKey(createPrivateKey(exported.pem)).export({ format: 'jwk' })
      assert.deepEqual(Buffer.from(x as string, 'base64url'), Buffer.from(key.publicKey.raw))
      assert.ok(exported.pem.length <= KEY_EXPORT_BYTES_MAX)
    }
  })

  it('rotates the node key: another peer, the same operator, a new statement, and the old key beside it', async () => {
    const path = await fresh()
    const before = await loadOrCreateIdentity(directory(path), { network: 'n', now: NOW })
    const replaced = await rotateNodeKey(directory(path), LATER)
    const after = await loadOrCreateIdentity(directory(path), { network: 'n', now: LATER })
    assert.deepEqual([replaced.before, replaced.now], [before.peerId.toString(), after.peerId.toString()])
    assert.ok(!before.peerId.equals(after.peerId))
    assert.equal(after.operator, before.operator)
    assert.deepEqual(await verifyDelegation(after.delegation, after.peerId, LATER), { operator: before.operator, peer: after.peerId.toString(), issued: LATER, expires: replaced.expires })
    assert.equal(replaced.kept, join(path, `node.key.${before.peerId.toString()}`))
    assert.equal((await stat(replaced.kept)).mode & 0o777, 0o600)
    assert.deepEqual(await readFile(replaced.kept), Buffer.from(privateKeyToProtobuf(before.nodeKey)))
    await rotateNodeKey(directory(path), LATER)
    assert.deepEqual((await readdir(path)).filter(name => name.startsWith('node.key.')).length, 2)
  })

  it('lets a second machine act for the same operator', async () => {
    const [first, second] = [await fresh(), await fresh()]
    const { operator } = await loadOrCreateIdentity(directory(first), { network: 'n', now: NOW })
    const before = await loadOrCreateIdentity(directory(second), { network: 'n', now: NOW })
    const { pem } = await exportKey(directory(first), 'operator')
    const replaced = await importOperatorKey(directory(second), Buffer.from(pem), LATER)
    const after = await loadOrCreateIdentity(directory(second), { network: 'n', now: LATER })
    assert.deepEqual([after.operator, replaced.now, replaced.before], [operator, operator, before.operator])
    assert.ok(after.peerId.equals(before.peerId))
    assert.equal((await verifyDelegation(after.delegation, after.peerId, LATER)).operator, operator)
    assert.equal((await stat(replaced.kept)).mode & 0o777, 0o600)
    await assert.rejects(importOperatorKey(directory(second), Buffer.from(pem), LATER), refused('same-operator', /already/))
    // What was kept leads back.
    assert.equal((await importOperatorKey(directory(second), await readFile(replaced.kept), LATER)).now, before.operator)
  })

  it('takes nothing else for a key, and leaves everything as it was', async () => {
    const path = await fresh()
    const { operator } = await loadOrCreateIdentity(directory(path), { network: 'n', now: NOW })
    const files = await readdir(path)
    const other = createPrivateKeyPem()
    for (const bad of ['', 'garbage', 'x'.repeat(KEY_EXPORT_BYTES_MAX + 1), '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', other]) {
      await assert.rejects(importOperatorKey(directory(path), Buffer.from(bad)), refused('not-a-key', /weft key export --operator/))
    }
    await assert.rejects(importOperatorKey(directory(path), privateKeyToProtobuf(await generateKeyPair('secp256k1'))), { code: 'not-a-key' })
    await assert.rejects(importOperatorKey(directory(path), Buffer.from((await exportKey(directory(path), 'node')).pem)), refused('not-a-key', /the node's own key/))
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async bytes => {
      await assert.rejects(importOperatorKey(directory(path), bytes), { code: 'not-a-key' })
    }), { numRuns: 200 })
    assert.deepEqual(await readdir(path), files)
    assert.equal((await showKeys(directory(path), LATER)).operator, operator)
  })

  it('refuses to replace keys that came from a seed, and directories without keys', async () => {
    const [empty, path] = [await fresh(), await fresh()]
    await loadOrCreateIdentity(directory(path), { network: 'testnet-1', seed: Buffer.from('test-seed-0'), now: NOW })
    assert.equal((await showKeys(directory(path), LATER)).testNetwork, 'testnet-1')
    const { pem } = await exportKey(directory(path), 'operator')
    await assert.rejects(rotateNodeKey(directory(path)), refused('test-keys', /known seed/))
    await assert.rejects(importOperatorKey(directory(path), Buffer.from(pem)), { code: 'test-keys' })
    await assert.rejects(rotateNodeKey(directory(empty)), { code: 'not-initialised' })
    await assert.rejects(importOperatorKey(directory(empty), Buffer.from(pem)), { code: 'not-initialised' })
  })

  describe('stopped at any instant', () => {
    /** Carries out only the first writes, as a process that is killed. */
    const stopping = (path: string, writes: number): IdentityDir => {
      const whole = directory(path)
      let left = writes
      return { ...whole, writeSecret: async (name, data) => { if (left-- <= 0) throw new Error('killed'); else await whole.writeSecret(name, data) } }
    }
    const changes: Array<[string, (dir: IdentityDir, pem: Uint8Array) => Promise<unknown>]> = [
      ['rotate', async dir => await rotateNodeKey(dir, LATER)],
      ['import', async (dir, pem) => await importOperatorKey(dir, pem, LATER)]
    ]
    for (const [name, change] of changes) {
      it(`${name}: the next start has both keys and a statement of the one about the other`, async () => {
        const elsewhere = await fresh()
        const other = await loadOrCreateIdentity(directory(elsewhere), { network: 'n', now: NOW })
        const pem = Buffer.from((await exportKey(directory(elsewhere), 'operator')).pem)
        for (let writes = 0; writes < 3; writes++) {
          const path = await fresh()
          const before = await loadOrCreateIdentity(directory(path), { network: 'n', now: NOW })
          await assert.rejects(change(stopping(path, writes), pem), /killed/)
          const { peerId, operator, delegation } = await loadOrCreateIdentity(directory(path), { network: 'n', now: LATER })
          assert.equal((await verifyDelegation(delegation, peerId, LATER)).operator, operator)
          const replaced = name === 'rotate' ? !peerId.equals(before.peerId) : operator === other.operator
          // The second write replaces the key, the first kept the old one.
          assert.equal(replaced, writes === 2, `after ${writes} writes`)
          if (name === 'rotate') assert.equal(operator, before.operator)
          else assert.ok(peerId.equals(before.peerId))
          assert.equal((await readdir(path)).filter(file => /\.key\./.test(file)).length, writes === 0 ? 0 : 1)
          await change(directory(path), pem).catch((error: unknown) => { if (!(error instanceof IdentityError && error.code === 'same-operator')) throw error })
        }
      })
    }
  })
})

/** A key of another type, in the form that is taken. */
function createPrivateKeyPem (): string {
  return createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d: Buffer.alloc(32, 7).toString('base64url'), x: Buffer.alloc(32, 9).toString('base64url') }, format: 'jwk' }).export({ type: 'pkcs8', format: 'pem' }) as string
}

/** A directory as the store gives it, without its database. */
function directory (path: string): IdentityDir {
  return {
    path,
    readFile: async name => await readFile(join(path, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    }),
    writeSecret: async (name, data) => { await writeFile(join(path, name), data, { mode: 0o600 }) }
  }
}
