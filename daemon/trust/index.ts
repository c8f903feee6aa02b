/**
 * Who is who, and what was signed: keys, delegation, signed envelopes, Merkle receipts, and the policy that says
 * which results are compared with their source.
 *
 * Signed things are strict DAG-CBOR in a libp2p envelope, one domain per message type; the *received bytes* are
 * verified. Fast batch signatures (orders, receipts) are raw Ed25519 over a domain-prefixed Merkle root.
 */
import type { PrivateKey, PeerId } from '@libp2p/interface'

export interface Identity {
  peerId: PeerId
  nodeKey: PrivateKey
  operatorKey: PrivateKey
  /** did:key of the operator. */
  operator: string
  /** did:key of the node. */
  did: string
  /** The operator's signed statement that this node key acts for it (envelope bytes). */
  delegation: Uint8Array
}

export interface Delegation {
  operator: string
  /** Peer id, as text, of the node acting for the operator. */
  peer: string
  /** UTC milliseconds. */
  issued: number
  expires: number
}

export interface Receipt {
  /** Merkle root over the leaves of one batch of results, 32 bytes. */
  root: Uint8Array
  /** Raw Ed25519 signature by the worker's node key over domain || root, 64 bytes. */
  signature: Uint8Array
  /** Results under the root. */
  leaves: number
}

export { loadOrCreateIdentity, verifyDelegation, didOf } from './identity.ts'
export { exportKey, importOperatorKey, rotateNodeKey, showKeys, type KeysShown, type Replaced } from './key-files.ts'
export { seal, open } from './envelope.ts'
export { encodeCanonical, decodeCanonical } from './canonical.ts'
export { fieldReaders, type FieldOptions, type FieldReaders, type Fields } from './fields.ts'
export { merkleRoot, merklePath, verifyPath, leafHash, chunkedLeaf } from './merkle.ts'
export { BatchSigner, verifyBatch } from './batch-signature.ts'
export { shouldCheck, type CheckingHistory, type CheckingPolicy } from './checking-policy.ts'
export { CanonicalError, DelegationError, EnvelopeError, IdentityError } from './errors.ts'
export { CLOCK_SKEW_MS, DAG_CBOR_PAYLOAD, DELEGATION_BYTES_MAX } from './constants.ts'
export type { IdentityDir, IdentityOptions } from './identity.ts'
export type { OpenedEnvelope, OpenOptions } from './envelope.ts'
