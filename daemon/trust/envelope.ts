/**
 * Signed envelopes: libp2p's (RFC 0002), with a domain per message type, Ed25519 only, and one byte string per signed
 * thing (an envelope that does not re-encode to the received bytes is refused).
 */
import type { PeerId, PrivateKey, PublicKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { DAG_CBOR_PAYLOAD } from './constants.ts'
import { EnvelopeError } from './errors.ts'

export interface OpenedEnvelope {
  publicKey: PublicKey
  /** Peer id of the signer. */
  peerId: PeerId
  payloadType: Uint8Array
  /** The bytes that were signed, as received. */
  payload: Uint8Array
}

export interface OpenOptions {
  /** Most bytes of the whole envelope; checked before anything is decoded. */
  maxBytes: number
  /** @default DAG-CBOR */
  payloadType?: Uint8Array
}

/**
 * Signs a payload.
 *
 * @param domain one per message type, such as `weft/advert/1`: a signature of one type never serves as another
 * @throws EnvelopeError `key-type` if the key is not Ed25519
 */
export async function seal (key: PrivateKey, domain: string, payloadType: Uint8Array, payload: Uint8Array): Promise<Uint8Array> {
  if (key.type !== 'Ed25519') throw new EnvelopeError('key-type', `envelopes are signed with Ed25519 keys, not ${key.type}`)
  const envelope = await RecordEnvelope.seal({ domain, codec: payloadType, marshal: () => payload, equals: () => false }, key)
  return envelope.marshal()
}

/**
 * Verifies an envelope's signature under a domain. Whether its signer may say what it says is the caller's to check.
 *
 * @throws EnvelopeError
 */
export async function open (bytes: Uint8Array, domain: string, options: OpenOptions): Promise<OpenedEnvelope> {
  if (bytes.byteLength > options.maxBytes) throw new EnvelopeError('too-large', `an envelope of ${bytes.byteLength} bytes, at most ${options.maxBytes} are allowed`)
  const envelope = parse(bytes)
  const { publicKey, payloadType, payload } = envelope
  if (publicKey.type !== 'Ed25519') throw new EnvelopeError('key-type', `envelopes are signed with Ed25519 keys, not ${publicKey.type}`)
  if (Buffer.compare(payloadType, options.payloadType ?? DAG_CBOR_PAYLOAD) !== 0) throw new EnvelopeError('payload-type', 'an envelope with another type of payload')
  if (Buffer.compare(envelope.marshal(), bytes) !== 0) throw new EnvelopeError('malformed', 'an envelope not in its canonical form')
  if (!await holds(envelope, domain)) throw new EnvelopeError('signature', `the signature does not hold for ${domain}`)
  return { publicKey, peerId: peerIdFromPublicKey(publicKey), payloadType, payload: payload.subarray() }
}

function parse (bytes: Uint8Array): RecordEnvelope {
  try {
    return RecordEnvelope.createFromProtobuf(bytes)
  } catch (error) {
    throw new EnvelopeError('malformed', `not an envelope: ${(error as Error).message}`, { cause: error })
  }
}

async function holds (envelope: RecordEnvelope, domain: string): Promise<boolean> {
  try {
    return await envelope.validate(domain)
  } catch (error) {
    throw new EnvelopeError('signature', `the signature cannot be checked: ${(error as Error).message}`, { cause: error })
  }
}
