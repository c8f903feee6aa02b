/**
 * Keys of a node: its own (the libp2p peer id) and its operator's, which delegates to it. Both are Ed25519 and lie in
 * 0600 files of the data directory; the node key can be replaced without losing the operator's reputation.
 */
import { hkdfSync } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey, PublicKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { base58btc } from 'multiformats/bases/base58'
import type { DataDir } from '../store/index.ts'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import { CLOCK_SKEW_MS, DAG_CBOR_PAYLOAD, DELEGATION_BYTES_MAX, DELEGATION_DOMAIN, DELEGATION_VALIDITY_MS, KEY_FILE_BYTES_MAX, TEST_SEED_BYTES_MIN } from './constants.ts'
import { open, seal } from './envelope.ts'
import { DelegationError, IdentityError } from './errors.ts'
import type { Delegation, Identity } from './index.ts'

export const NODE_KEY_FILE = 'node.key'
export const OPERATOR_KEY_FILE = 'operator.key'
export const DELEGATION_FILE = 'delegation'
/** Present if the keys were derived from a seed; holds the name of the test network they are for. */
export const TEST_KEYS_FILE = 'test-keys'

/** Multicodec of an Ed25519 public key, as a varint. */
const ED25519_PUBLIC = Uint8Array.of(0xed, 0x01)

export interface IdentityOptions {
  /** Test networks only: both keys are derived from it, so that the same seed gives the same peer id. */
  seed?: Uint8Array
  /** Name of the network. Keys made from a seed are refused in any other. */
  network: string
  /** UTC milliseconds. @default the clock */
  now?: number
}

/** `path` is optional so that a directory in memory serves too; with it, keys readable by others are refused. */
export type IdentityDir = Pick<DataDir, 'readFile' | 'writeSecret'> & Partial<Pick<DataDir, 'path'>>

/**
 * The node's keys and delegation: read from the data directory, made on first use. The delegation is renewed when less
 * than half of its time is left.
 *
 * @throws IdentityError whose message says what to do
 */
export async function loadOrCreateIdentity (dir: IdentityDir, options: IdentityOptions): Promise<Identity> {
  await refuseTestKeysElsewhere(dir, options)
  const found = { operator: await readKey(dir, OPERATOR_KEY_FILE), node: await readKey(dir, NODE_KEY_FILE) }
  if (found.node != null && found.operator == null) {
    throw new IdentityError('missing', `${where(dir, OPERATOR_KEY_FILE)} is missing: restore it, or remove ${NODE_KEY_FILE} to start as somebody new`)
  }
  const wanted = options.seed == null ? undefined : await keysFromSeed(options.seed)
  if (wanted != null) await claimForTests(dir, options, wanted, found)
  // The operator's first: a crash in between leaves an operator without a node key, which the next start completes.
  const operatorKey = found.operator ?? await writeKey(dir, OPERATOR_KEY_FILE, wanted?.operator ?? await generateKeyPair('Ed25519'))
  const nodeKey = found.node ?? await writeKey(dir, NODE_KEY_FILE, wanted?.node ?? await generateKeyPair('Ed25519'))
  const peerId = peerIdFromPrivateKey(nodeKey)
  const delegation = await currentDelegation(dir, operatorKey, peerId, options.now ?? Date.now())
  return { peerId, nodeKey, operatorKey, operator: didOf(operatorKey.publicKey), did: didOf(nodeKey.publicKey), delegation }
}

/** `did:key` of an Ed25519 public key. */
export function didOf (key: PublicKey): string {
  const bytes = new Uint8Array(ED25519_PUBLIC.byteLength + key.raw.byteLength)
  bytes.set(ED25519_PUBLIC)
  bytes.set(key.raw, ED25519_PUBLIC.byteLength)
  return `did:key:${base58btc.encode(bytes)}`
}

/**
 * Checks that an operator lets `peer` act for it at `now` (UTC milliseconds).
 *
 * @throws DelegationError, EnvelopeError, CanonicalError
 */
export async function verifyDelegation (bytes: Uint8Array, peer: PeerId | string, now: number): Promise<Delegation> {
  const { publicKey, payload } = await open(bytes, DELEGATION_DOMAIN, { maxBytes: DELEGATION_BYTES_MAX })
  const delegation = shape(decodeCanonical(payload, { maxBytes: DELEGATION_BYTES_MAX }))
  if (delegation.operator !== didOf(publicKey)) throw new DelegationError('signer', 'a delegation signed by somebody else than its operator')
  if (delegation.peer !== peer.toString()) throw new DelegationError('peer', `a delegation to ${delegation.peer}, not to ${peer.toString()}`)
  if (delegation.expires <= now) throw new DelegationError('expired', `the delegation to ${delegation.peer} expired at ${new Date(delegation.expires).toISOString()}`)
  if (delegation.issued > now + CLOCK_SKEW_MS) throw new DelegationError('not-yet-valid', `the delegation to ${delegation.peer} is dated ahead of our clock: check both clocks`)
  return delegation
}

function shape (value: unknown): Delegation {
  const { v, operator, peer, issued, expires, ...rest } = Object(value) as Record<string, unknown>
  if (v !== 1 || typeof operator !== 'string' || typeof peer !== 'string' || !isTime(issued) || !isTime(expires) || Object.keys(rest).length > 0) {
    throw new DelegationError('malformed', 'not a delegation of version 1')
  }
  if (expires <= issued || expires - issued > DELEGATION_VALIDITY_MS) throw new DelegationError('validity', 'a delegation holds for at most one year')
  return { operator, peer, issued, expires }
}

function isTime (value: unknown): value is number {
  // A date holds at most 8.64e15 ms; beyond, printing it would throw.
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 8.64e15
}

/** The stored delegation if it is this operator's to this peer and more than half of its time is left; otherwise a new one, stored. */
export async function currentDelegation (dir: IdentityDir, operatorKey: PrivateKey, peer: PeerId, now: number): Promise<Uint8Array> {
  const stored = await dir.readFile(DELEGATION_FILE)
  if (stored != null) {
    try {
      const { operator, expires } = await verifyDelegation(stored, peer, now)
      if (operator === didOf(operatorKey.publicKey) && expires - now > DELEGATION_VALIDITY_MS / 2) return stored
    } catch {
      // Expired, of a replaced node key, or damaged: both keys are here, so a new one is made and nothing is lost.
    }
  }
  const payload = encodeCanonical({ v: 1, operator: didOf(operatorKey.publicKey), peer: peer.toString(), issued: now, expires: now + DELEGATION_VALIDITY_MS })
  const delegation = await seal(operatorKey, DELEGATION_DOMAIN, DAG_CBOR_PAYLOAD, payload)
  await dir.writeSecret(DELEGATION_FILE, delegation)
  return delegation
}

/** undefined if it is not there. @throws IdentityError `readable-by-others`, `damaged` */
export async function readKey (dir: IdentityDir, name: string): Promise<PrivateKey | undefined> {
  const bytes = await dir.readFile(name)
  if (bytes == null) return undefined
  if (dir.path != null) {
    const { mode } = await stat(join(dir.path, name))
    if ((mode & 0o077) !== 0) throw new IdentityError('readable-by-others', `${where(dir, name)} is open to other users (mode ${(mode & 0o777).toString(8)}): run 'chmod 600' on it, or replace the key if somebody may have read it`)
  }
  const damaged = `${where(dir, name)} does not hold an Ed25519 private key: restore it from a copy, or remove both key files to start as somebody new`
  if (bytes.byteLength > KEY_FILE_BYTES_MAX) throw new IdentityError('damaged', damaged)
  let key: PrivateKey
  try {
    key = privateKeyFromProtobuf(bytes)
  } catch (error) {
    throw new IdentityError('damaged', damaged, { cause: error })
  }
  if (key.type !== 'Ed25519') throw new IdentityError('damaged', damaged)
  return key
}

export async function writeKey (dir: IdentityDir, name: string, key: PrivateKey): Promise<PrivateKey> {
  await dir.writeSecret(name, privateKeyToProtobuf(key))
  return key
}

interface Keys { operator: PrivateKey, node: PrivateKey }

async function keysFromSeed (seed: Uint8Array): Promise<Keys> {
  if (seed.byteLength < TEST_SEED_BYTES_MIN) throw new IdentityError('seed', `a test seed has at least ${TEST_SEED_BYTES_MIN} bytes`)
  const derive = async (use: string): Promise<PrivateKey> =>
    await generateKeyPairFromSeed('Ed25519', new Uint8Array(hkdfSync('sha256', seed, 'weft/test-identity/1', use, 32)))
  return { operator: await derive('operator'), node: await derive('node') }
}

async function refuseTestKeysElsewhere (dir: IdentityDir, { seed, network }: IdentityOptions): Promise<void> {
  const marker = await dir.readFile(TEST_KEYS_FILE)
  if (marker == null) return
  const name = new TextDecoder().decode(marker).trim()
  if (seed == null || name !== network) {
    throw new IdentityError('test-keys', `the keys in ${dir.path ?? 'this directory'} were made from a known seed for the test network ${name}: anybody can have them, use another data directory`)
  }
}

/** Marks the directory before the keys are written, and refuses to mix derived keys with others. */
async function claimForTests (dir: IdentityDir, { network }: IdentityOptions, wanted: Keys, found: { operator?: PrivateKey, node?: PrivateKey }): Promise<void> {
  if (found.operator?.equals(wanted.operator) === false || found.node?.equals(wanted.node) === false) {
    throw new IdentityError('mismatch', `${dir.path ?? 'this directory'} holds other keys than the seed gives: use an empty data directory for a test node`)
  }
  await dir.writeSecret(TEST_KEYS_FILE, `${network}\n`)
}

export function where (dir: IdentityDir, name: string): string {
  return dir.path == null ? name : join(dir.path, name)
}
