/** What a job is, in canonical bytes: its id is their CID, and they are never rewritten. */
import { hash, randomBytes } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { encodeCanonical } from '../trust/index.ts'
import type { Encoding, Input } from '../block-convert/index.ts'
import { SPEC_BYTES_MAX } from './constants.ts'
import type { JobRequest } from './index.ts'

const SPEC_VERSION = 1
/** Multicodec codes. */
const DAG_CBOR = 0x71
const RAW = 0x55
const SHA2_256 = 0x12
/** 128 bits: two jobs of the same description are still two jobs. */
const NONCE_BYTES = 16

/** `cid` of bytes with this sha2-256: CIDv1, raw; equals `sha256sum` of them. */
export function rawCid (digest: Uint8Array): string {
  return CID.createV1(RAW, createDigest(SHA2_256, digest)).toString()
}

export interface JobSpec {
  id: string
  bytes: Uint8Array
}

/** The canonical spec of a request whose inputs were described. `created`: UTC milliseconds. */
export function makeSpec (request: JobRequest, inputs: Input[], to: { mediaType: string, encoding?: Encoding }, created: number, nonce: Uint8Array = randomBytes(NONCE_BYTES)): JobSpec {
  const bytes = encodeCanonical({
    v: SPEC_VERSION,
    nonce: Uint8Array.from(nonce),
    created,
    inputs: inputs.map(({ path, mediaType, encoding, size, mtimeMs }) => ({ path, mediaType, ...(encoding != null ? { encoding } : {}), size, mtimeMs })),
    to: to.mediaType,
    ...(to.encoding != null ? { encoding: to.encoding } : {}),
    output: request.output,
    overwrite: request.overwrite ?? false,
    settings: request.settings ?? {},
    place: request.place ?? 'any',
    nodes: request.nodes ?? [],
    ...(request.maxPrice != null ? { maxPrice: request.maxPrice } : {}),
    verify: request.verify ?? 'sample',
    blockBytes: request.blockBytes ?? 0,
    deadlineSeconds: request.deadlineSeconds ?? 0
  }, { maxBytes: SPEC_BYTES_MAX })
  const digest = createDigest(SHA2_256, hash('sha256', bytes, 'buffer'))
  return { id: CID.createV1(DAG_CBOR, digest).toString(), bytes }
}
