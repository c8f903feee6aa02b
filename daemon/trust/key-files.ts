/**
 * What a person does with a node's keys: look at them, take one out, replace the node's, bring an operator's in.
 *
 * Replacing writes three files, one after the other and each atomically: the old key beside the new one, the new key, the delegation. Stopped
 * at any instant, the next start finds both keys, and makes the delegation anew where it is not from this operator to this node
 * (`loadOrCreateIdentity`). The caller holds the data directory, so that no daemon runs with the old key meanwhile.
 */
import { createPrivateKey } from 'node:crypto'
import { open as openFile } from 'node:fs/promises'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { KEY_EXPORT_BYTES_MAX } from './constants.ts'
import { IdentityError } from './errors.ts'
import { currentDelegation, DELEGATION_FILE, didOf, NODE_KEY_FILE, OPERATOR_KEY_FILE, readKey, TEST_KEYS_FILE, verifyDelegation, where, writeKey, type IdentityDir } from './identity.ts'

/** DER in front of the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SEED_BYTES = 32
const PEM_LINE = 64

export interface KeysShown {
  peerId: string
  /** did:key of the node. */
  did: string
  /** did:key of the operator. */
  operator: string
  /** UTC milliseconds. Absent if it is missing, expired or of other keys: the next start makes it. */
  delegation?: { issued: number, expires: number }
  /** Paths, or names where the directory has no path. */
  files: { nodeKey: string, operatorKey: string, delegation: string }
  /** The test network the keys were derived for; anybody can have them. */
  testNetwork?: string
}

/** What was replaced, and where the old key is now. */
export interface Replaced { before: string, now: string, kept: string, /** Until when the node acts for its operator, UTC milliseconds. */ expires: number }

/**
 * Public facts about the keys; makes and changes nothing, and may run beside the daemon. `now`: UTC milliseconds.
 *
 * @throws IdentityError
 */
export async function showKeys (dir: IdentityDir, now = Date.now()): Promise<KeysShown> {
  const { node, operator } = await bothKeys(dir)
  const peer = peerIdFromPrivateKey(node)
  const marker = await dir.readFile(TEST_KEYS_FILE)
  const delegation = await delegationOf(dir, operator, peer.toString(), now)
  return {
    peerId: peer.toString(),
    did: didOf(node.publicKey),
    operator: didOf(operator.publicKey),
    ...(delegation != null ? { delegation } : {}),
    files: { nodeKey: where(dir, NODE_KEY_FILE), operatorKey: where(dir, OPERATOR_KEY_FILE), delegation: where(dir, DELEGATION_FILE) },
    ...(marker != null ? { testNetwork: new TextDecoder().decode(marker).trim() } : {})
  }
}

/**
 * A private key as PKCS #8 in PEM, which other programs read too, under a line that says what it is; and whose it is.
 *
 * @throws IdentityError
 */
export async function exportKey (dir: IdentityDir, which: 'node' | 'operator'): Promise<{ pem: string, subject: string }> {
  const { node, operator } = await bothKeys(dir)
  const key = which === 'node' ? node : operator
  const subject = which === 'node' ? peerIdFromPrivateKey(node).toString() : didOf(operator.publicKey)
  const der = Buffer.concat([PKCS8_ED25519, key.raw.subarray(0, SEED_BYTES)]).toString('base64')
  const lines = der.match(new RegExp(`.{1,${PEM_LINE}}`, 'g')) ?? []
  return { subject, pem: `Weft ${which} key of ${subject}. Secret: whoever has it is this ${which}.\n-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n` }
}

/**
 * A new node key for the same operator. The old one stays beside it, named after its peer id: receipts and ledger name that peer, and only its
 * key proves that they are this operator's, or leads back.
 *
 * @throws IdentityError `test-keys` for keys derived from a seed
 */
export async function rotateNodeKey (dir: IdentityDir, now = Date.now()): Promise<Replaced> {
  await refuseTestKeys(dir)
  const { node, operator } = await bothKeys(dir)
  const before = peerIdFromPrivateKey(node).toString()
  const next = await generateKeyPair('Ed25519')
  const kept = `${NODE_KEY_FILE}.${before}`
  await replace(dir, NODE_KEY_FILE, { old: node, kept, next })
  return { before, now: peerIdFromPrivateKey(next).toString(), kept: where(dir, kept), expires: await renew(dir, operator, next, now) }
}

/**
 * From now on this node acts for the operator whose exported key this is. The old operator's key stays beside it.
 *
 * @throws IdentityError `not-a-key`, `same-operator`, `test-keys`, `not-initialised`
 */
export async function importOperatorKey (dir: IdentityDir, exported: Uint8Array, now = Date.now()): Promise<Replaced> {
  await refuseTestKeys(dir)
  const { node, operator } = await bothKeys(dir)
  const next = await readExported(exported)
  const [before, after] = [didOf(operator.publicKey), didOf(next.publicKey)]
  if (before === after) throw new IdentityError('same-operator', `this node acts for ${after} already: nothing to do`)
  if (next.equals(node)) throw new IdentityError('not-a-key', 'this is the node\'s own key: an operator has a key of its own, export it with \'weft key export --operator\' on the other machine')
  const kept = `${OPERATOR_KEY_FILE}.${before.replaceAll(':', '-')}`
  await replace(dir, OPERATOR_KEY_FILE, { old: operator, kept, next })
  return { before, now: after, kept: where(dir, kept), expires: await renew(dir, next, node, now) }
}

async function bothKeys (dir: IdentityDir): Promise<{ node: PrivateKey, operator: PrivateKey }> {
  const [node, operator] = [await readKey(dir, NODE_KEY_FILE), await readKey(dir, OPERATOR_KEY_FILE)]
  if (node != null && operator != null) return { node, operator }
  if (node == null && operator == null) throw new IdentityError('not-initialised', `there are no keys in ${dir.path ?? 'this directory'}: make them with 'weft init', 'weft join' or 'weft start', or name another folder with WEFT_HOME`)
  const missing = where(dir, node == null ? NODE_KEY_FILE : OPERATOR_KEY_FILE)
  throw new IdentityError('missing', node == null ? `${missing} is missing: 'weft start' makes a new one for the same operator` : `${missing} is missing: restore it, or remove ${NODE_KEY_FILE} to start as somebody new`)
}

async function refuseTestKeys (dir: IdentityDir): Promise<void> {
  if (await dir.readFile(TEST_KEYS_FILE) != null) throw new IdentityError('test-keys', `the keys in ${dir.path ?? 'this directory'} were derived from a known seed for a test network, and its nodes expect them: they are not replaced`)
}

async function delegationOf (dir: IdentityDir, operator: PrivateKey, peer: string, now: number): Promise<KeysShown['delegation']> {
  const stored = await dir.readFile(DELEGATION_FILE)
  if (stored == null) return undefined
  try {
    const delegation = await verifyDelegation(stored, peer, now)
    return delegation.operator === didOf(operator.publicKey) ? { issued: delegation.issued, expires: delegation.expires } : undefined
  } catch {
    // Damaged, expired or of other keys: the next start makes one, and says nothing of it either.
    return undefined
  }
}

async function replace (dir: IdentityDir, name: string, { old, kept, next }: { old: PrivateKey, kept: string, next: PrivateKey }): Promise<void> {
  await writeKey(dir, kept, old)
  // The name of the copy is on the disk before the old key loses its own.
  await syncFolder(dir)
  await writeKey(dir, name, next)
  await syncFolder(dir)
}

async function renew (dir: IdentityDir, operator: PrivateKey, node: PrivateKey, now: number): Promise<number> {
  const peer = peerIdFromPrivateKey(node)
  return (await verifyDelegation(await currentDelegation(dir, operator, peer, now), peer, now)).expires
}

async function syncFolder ({ path }: IdentityDir): Promise<void> {
  if (path == null) return
  const folder = await openFile(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** What `exportKey` wrote, or a key file as it lies in a data directory. */
async function readExported (bytes: Uint8Array): Promise<PrivateKey> {
  const wrong = (cause?: unknown): IdentityError => new IdentityError('not-a-key', 'this does not hold an Ed25519 private key: export one with \'weft key export --operator --out FILE\' on the other machine', { cause })
  if (bytes.byteLength > KEY_EXPORT_BYTES_MAX) throw wrong()
  const text = Buffer.from(bytes).toString('latin1')
  try {
    if (!text.includes('-----BEGIN ')) {
      const key = privateKeyFromProtobuf(bytes)
      if (key.type !== 'Ed25519') throw wrong()
      return key
    }
    const { d, crv } = createPrivateKey(text).export({ format: 'jwk' })
    if (d == null || crv !== 'Ed25519') throw wrong()
    return await generateKeyPairFromSeed('Ed25519', new Uint8Array(Buffer.from(d, 'base64url')))
  } catch (error) {
    throw error instanceof IdentityError ? error : wrong(error)
  }
}
