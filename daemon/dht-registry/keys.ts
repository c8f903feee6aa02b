/**
 * Keys in the DHT: where a peer's record lies, and where the providers of a conversion are listed.
 *
 * The providers of a conversion are spread over shards once there are more than SHARD_PROVIDERS_MAX, so that 100,000 of them do not load the eight peers
 * nearest to one key. Nobody knows how many there are, and nobody has to agree on it: each provider goes as deep as the keys it looks at are full, leaves a
 * sample of itself on the way up, and searchers read from the sample where to look. shards.ts has the rule; a small network has one key, number 0.
 */
import type { PeerId } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { encodeCanonical } from '../trust/index.ts'
import { CAPABILITY_MAJOR, RECORD_NAMESPACE } from './constants.ts'

/** Multicodec of DAG-CBOR. */
const DAG_CBOR = 0x71

/** `/weft-advert/<peer id>` as bytes. */
export function recordKey (peer: PeerId | string): Uint8Array {
  return new TextEncoder().encode(`/${RECORD_NAMESPACE}/${peer.toString()}`)
}

/** The provider key of a conversion: the CID of DAG-CBOR [from, to, major, shard]. The number of the shard is for shards.ts to say; 0 has all of a small network. */
export async function capabilityKey (edge: { from: string, to: string }, shard = 0): Promise<CID> {
  const digest = await sha256.digest(encodeCanonical([edge.from, edge.to, CAPABILITY_MAJOR, shard]))
  return CID.createV1(DAG_CBOR, digest)
}

/** The content id of sealed bytes: CIDv1, raw, sha2-256 of the whole. */
export async function contentId (bytes: Uint8Array): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(bytes))
}
