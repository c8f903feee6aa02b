import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { encodeCanonical } from '../../../daemon/trust/canonical.ts'
import { DAG_CBOR_PAYLOAD, DELEGATION_DOMAIN, DELEGATION_VALIDITY_MS } from '../../../daemon/trust/constants.ts'
import { seal } from '../../../daemon/trust/envelope.ts'
import { DelegationError, IdentityError } from '../../../daemon/trust/errors.ts'
import { didOf, loadOrCreateIdentity, verifyDelegation, type IdentityDir } from '../../../daemon/trust/identity.ts'

const NOW = Date.UTC(2026, 0, 1)
const YEAR = DELEGATION_VALIDITY_MS

describe('trust: identity', () => {
  let path: string
  let dir: IdentityDir
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'weft-identity-'))
    dir = directory(path)
  })
  afterEach(async () => { await rm(path, { recursive: true }) })

  it('makes both keys once and finds them again', async () => {
    const first = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    const again = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    assert.ok(first.peerId.equals(again.peerId))
    assert.equal(first.operator, again.operator)
    assert.deepEqual(new Uint8Array(first.delegation), new Uint8Array(again.delegation))
    assert.ok(first.did.startsWith('did:key:z6Mk'))
    assert.notEqual(first.did, first.operator)
    for (const file of ['node.key', 'operator.key']) assert.equal((await stat(join(path, file))).mode & 0o777, 0o600)
  })

  it('writes did:key as everybody does', async () => {
    // The first vector of the did:key specification for Ed25519.
    const { publicKeyFromRaw } = await import('@libp2p/crypto/keys')
    const raw = Uint8Array.from(Buffer.from('2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6', 'hex'))
    assert.equal(didOf(publicKeyFromRaw(raw)), 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK')
  })

  it('delegates from the operator to the node, and renews when less than half is left', async () => {
    const { operator, peerId, delegation } = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    assert.deepEqual(await verifyDelegation(delegation, peerId, NOW), { operator, peer: peerId.toString(), issued: NOW, expires: NOW + YEAR })
    const kept = await loadOrCreateIdentity(dir, { network: 'n', now: NOW + YEAR / 2 - 1 })
    assert.deepEqual(new Uint8Array(kept.delegation), new Uint8Array(delegation))
    const renewed = await loadOrCreateIdentity(dir, { network: 'n', now: NOW + YEAR / 2 })
    assert.equal((await verifyDelegation(renewed.delegation, peerId, NOW + YEAR / 2)).expires, NOW + YEAR * 1.5)
  })

  it('refuses a delegation to another node, expired, dated ahead, too long, or signed by another than its operator', async () => {
    const { peerId, delegation, operator } = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    await assert.rejects(verifyDelegation(delegation, other, NOW), (error: unknown) => error instanceof DelegationError && error.code === 'peer')
    await assert.rejects(verifyDelegation(delegation, peerId, NOW + YEAR), { code: 'expired' })
    await assert.rejects(verifyDelegation(delegation, peerId, NOW - 10 * 60_000), { code: 'not-yet-valid' })
    const stranger = await generateKeyPair('Ed25519')
    const forge = async (fields: object): Promise<Uint8Array> => await seal(stranger, DELEGATION_DOMAIN, DAG_CBOR_PAYLOAD, encodeCanonical(fields))
    await assert.rejects(verifyDelegation(await forge({ v: 1, operator, peer: peerId.toString(), issued: NOW, expires: NOW + 1000 }), peerId, NOW), { code: 'signer' })
    const own = didOf(stranger.publicKey)
    await assert.rejects(verifyDelegation(await forge({ v: 1, operator: own, peer: peerId.toString(), issued: NOW, expires: NOW + 2 * YEAR }), peerId, NOW), { code: 'validity' })
    for (const fields of [{}, [], 'x', { v: 2, operator: own, peer: 'x', issued: 1, expires: 2 }, { v: 1, operator: own, peer: peerId.toString(), issued: NOW, expires: NOW + 1000, more: 1 }, { v: 1, operator: own, peer: peerId.toString(), issued: 8.7e15, expires: 8.8e15 }]) {
      await assert.rejects(verifyDelegation(await forge(fields as object), peerId, NOW), { code: 'malformed' })
    }
  })

  it('makes a new delegation when the node key was replaced or the stored one is damaged', async () => {
    const first = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    await rm(join(path, 'node.key'))
    const second = await loadOrCreateIdentity(dir, { network: 'n', now: NOW })
    assert.equal(first.operator, second.operator)
    assert.notEqual(first.did, second.did)
    await verifyDelegation(second.delegation, second.peerId, NOW)
    await writeFile(join(path, 'delegation'), 'garbage')
    await verifyDelegation((await loadOrCreateIdentity(dir, { network: 'n', now: NOW })).delegation, second.peerId, NOW)
  })

  it('refuses keys that are open to others, damaged, of another type or missing, and says what to do', async () => {
    await loadOrCreateIdentity(dir, { network: 'n' })
    const expect = async (code: IdentityError['code'], message: RegExp): Promise<void> => {
      await assert.rejects(loadOrCreateIdentity(dir, { network: 'n' }), (error: unknown) => error instanceof IdentityError && error.code === code && message.test(error.message))
    }
    const good = await readFile(join(path, 'node.key'))
    await chmod(join(path, 'node.key'), 0o640)
    await expect('readable-by-others', /chmod 600/)
    await chmod(join(path, 'node.key'), 0o600)
    for (const bad of [Buffer.from('garbage'), Buffer.alloc(0), Buffer.alloc(5000), privateKeyToProtobuf(await generateKeyPair('secp256k1'))]) {
      await writeFile(join(path, 'node.key'), bad)
      await expect('damaged', /restore it/)
    }
    await writeFile(join(path, 'node.key'), good)
    await rm(join(path, 'operator.key'))
    await expect('missing', /operator\.key is missing: restore it/)
  })

  it('derives the same keys from the same seed, and refuses them outside their test network', async () => {
    const seed = new TextEncoder().encode('test-seed-0')
    const first = await loadOrCreateIdentity(dir, { network: 'testnet-1', seed })
    const elsewhere = await mkdtemp(join(tmpdir(), 'weft-identity-'))
    try {
      const second = await loadOrCreateIdentity(directory(elsewhere), { network: 'testnet-2', seed })
      assert.ok(first.peerId.equals(second.peerId))
      assert.equal(first.operator, second.operator)
    } finally {
      await rm(elsewhere, { recursive: true })
    }
    assert.ok((await loadOrCreateIdentity(dir, { network: 'testnet-1', seed })).peerId.equals(first.peerId))
    await assert.rejects(loadOrCreateIdentity(dir, { network: 'testnet-1' }), { code: 'test-keys' })
    await assert.rejects(loadOrCreateIdentity(dir, { network: 'weft', seed }), { code: 'test-keys' })
    await assert.rejects(loadOrCreateIdentity(dir, { network: 'testnet-1', seed: new TextEncoder().encode('test-seed-1') }), { code: 'mismatch' })
    await assert.rejects(loadOrCreateIdentity(directory('/nowhere'), { network: 'n', seed: new Uint8Array(3) }), { code: 'seed' })
  })
})

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
