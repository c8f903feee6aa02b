/** The bulletin: what a node says of itself between two adverts. Sealed by the node key; read cheaply first, verified if that is worth it. */
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { reader } from 'protons-runtime'
import { CanonicalError, CLOCK_SKEW_MS, DAG_CBOR_PAYLOAD, decodeCanonical, encodeCanonical, EnvelopeError, open, seal } from '../trust/index.ts'
import { BULLETIN_BYTES_MAX, BULLETIN_DOMAIN, BULLETIN_VALIDITY_MS } from './constants.ts'
import { BulletinError } from './errors.ts'
import type { Bulletin } from './index.ts'
import { malformed, shape } from './shape.ts'

export interface OpenBulletinOptions {
  network: string
  /** UTC milliseconds. */
  now: number
}

/** Field 3 of an envelope (RFC 0002), length-delimited: what was signed. */
const PAYLOAD_TAG = (3 << 3) | 2

/** @throws BulletinError `malformed`, `too-large`: what others would refuse */
export async function sealBulletin (key: PrivateKey, bulletin: Bulletin): Promise<Uint8Array> {
  const sealed = await seal(key, BULLETIN_DOMAIN, DAG_CBOR_PAYLOAD, encodeCanonical(shape(bulletin)))
  if (sealed.byteLength > BULLETIN_BYTES_MAX) throw new BulletinError('too-large', `a bulletin of ${sealed.byteLength} bytes, at most ${BULLETIN_BYTES_MAX} are allowed`)
  return sealed
}

/**
 * Verifies a bulletin: signature, signer, network, time. Whether it is the newest is for the admission to say.
 *
 * @throws BulletinError
 */
export async function openBulletin (sealed: Uint8Array, options: OpenBulletinOptions): Promise<{ bulletin: Bulletin, peer: PeerId }> {
  const { payload, peerId } = await opened(sealed)
  const bulletin = decoded(payload)
  if (bulletin.peer !== peerId.toString()) throw new BulletinError('signer', `about ${bulletin.peer}, but signed by ${peerId.toString()}`)
  checkClaims(bulletin, options)
  return { bulletin, peer: peerId }
}

/**
 * What a bulletin says, by whomever it was written: no signature is checked. For deciding whether to check it, and for nothing else.
 *
 * @throws BulletinError `malformed`, `too-large`
 */
export function peekBulletin (sealed: Uint8Array): Bulletin {
  if (sealed.byteLength > BULLETIN_BYTES_MAX) throw new BulletinError('too-large', `a bulletin of ${sealed.byteLength} bytes, at most ${BULLETIN_BYTES_MAX} are allowed`)
  return decoded(payloadOf(sealed))
}

/** What needs no signature to be refused. @throws BulletinError */
export function checkClaims ({ network, peer, sequence, issued, expires }: Bulletin, options: OpenBulletinOptions): void {
  const { now } = options
  if (network !== options.network) throw new BulletinError('network', `for network ${network}, not ${options.network}`)
  if (expires <= now) throw new BulletinError('expired', `of ${peer}, expired at ${new Date(expires).toISOString()}`)
  if (issued > now + CLOCK_SKEW_MS) throw new BulletinError('ahead', `of ${peer}, dated ahead of our clock`)
  // Sequences follow the clock: a slip (or a thief) cannot raise the floor for ever.
  if (sequence > now + CLOCK_SKEW_MS) throw new BulletinError('ahead', `of ${peer}, sequence ${sequence} is ahead of our clock`)
  if (expires <= issued || expires - issued > BULLETIN_VALIDITY_MS) throw new BulletinError('validity', `of ${peer}, holds longer than ${BULLETIN_VALIDITY_MS} ms`)
}

async function opened (sealed: Uint8Array): Promise<{ payload: Uint8Array, peerId: PeerId }> {
  try {
    return await open(sealed, BULLETIN_DOMAIN, { maxBytes: BULLETIN_BYTES_MAX })
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error
    throw new BulletinError(error.code === 'too-large' ? 'too-large' : error.code === 'signature' ? 'signer' : 'malformed', error.message, { cause: error })
  }
}

function decoded (payload: Uint8Array): Bulletin {
  try {
    return shape(decodeCanonical(payload, { maxBytes: BULLETIN_BYTES_MAX }))
  } catch (error) {
    if (error instanceof CanonicalError) throw malformed(error.message, error)
    throw error
  }
}

/** The payload of an envelope, found without making anything of the rest. */
function payloadOf (sealed: Uint8Array): Uint8Array {
  let payload: Uint8Array | undefined
  try {
    const input = reader(sealed)
    while (input.pos < input.len) {
      const tag = input.uint32()
      if (tag === PAYLOAD_TAG) payload = input.bytes()
      else input.skipType(tag & 7)
    }
  } catch (error) {
    throw malformed(`not an envelope: ${(error as Error).message}`, error)
  }
  if (payload == null) throw malformed('an envelope without a payload')
  return payload
}
