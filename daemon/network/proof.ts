/**
 * The proof of a private network's secret that hello carries, both ways:
 *
 * `HMAC-SHA256(secret, "weft/hello-proof/1" | network | prover's peer id | verifier's peer id | prover's nonce | verifier's nonce)`,
 * each part but the first preceded by its length as four bytes, big-endian. Both nonces are fresh, so no proof serves twice; the peer ids, which
 * the connection's own encryption has verified, stand in the prover's order, so that none can be sent back to who made it, or passed on.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

const DOMAIN = 'weft/hello-proof/1'

/** Bytes of a network's secret: 256 random bits cannot be guessed from a proof. */
export const SECRET_BYTES = 32

/** Hexadecimal characters of a service name: a DNS label has 63 at most, 16 never collide by chance on one LAN. */
const MDNS_TAG_CHARS = 16

export interface ProofParts {
  network: string
  /** Peer id of who proves, as text. */
  prover: string
  verifier: string
  proverNonce: Uint8Array
  verifierNonce: Uint8Array
}

export function proofOf (secret: Uint8Array, { network, prover, verifier, proverNonce, verifierNonce }: ProofParts): Uint8Array {
  const hmac = createHmac('sha256', secret).update(DOMAIN)
  for (const part of [network, prover, verifier, proverNonce, verifierNonce]) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hmac.update(length).update(bytes)
  }
  return new Uint8Array(hmac.digest())
}

/** Compares in constant time. */
export function proves (proof: Uint8Array, secret: Uint8Array, parts: ProofParts): boolean {
  const expected = proofOf(secret, parts)
  return proof.byteLength === expected.byteLength && timingSafeEqual(proof, expected)
}

/** Service name of a network on the local one: members know it, and it tells others neither the network's name nor its secret. */
export function mdnsTag (network: string, secret: Uint8Array | undefined): string {
  const digest = createHmac('sha256', secret ?? new Uint8Array(SECRET_BYTES)).update('weft/mdns/1').update(network).digest('hex')
  return `_weft-${digest.slice(0, MDNS_TAG_CHARS)}._udp.local`
}
