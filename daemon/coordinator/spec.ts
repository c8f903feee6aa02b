/** What a job is, in canonical bytes: its id is their CID, and they are never rewritten. */
import { hash, randomBytes } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import type { Encoding, Input } from '../block-convert/index.ts'
import { SPEC_BYTES_MAX } from './constants.ts'
import type { JobRequest } from './index.ts'

/** 2: all of the request, so that the job can be run again from it. */
const SPEC_VERSION = 2
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

/** A spec as it is in its bytes. */
interface SpecFields {
  v: number
  nonce: Uint8Array
  created: number
  inputs: Input[]
  /** Media type and encoding of the output. */
  to: string
  encoding?: Encoding
  /** The target as the user named it. */
  target: string
  from?: string
  output: string
  overwrite: boolean
  settings: Record<string, string>
  place: NonNullable<JobRequest['place']>
  nodes?: string[]
  maxPrice?: string
  verify: NonNullable<JobRequest['verify']>
  /** 0: not said. */
  blockBytes: number
  deadlineSeconds: number
  inFlight?: number
  awaitCommit?: boolean
}

/** The canonical spec of a request whose inputs were described. `created`: UTC milliseconds. */
export function makeSpec (request: JobRequest, inputs: Input[], to: { mediaType: string, encoding?: Encoding }, created: number, nonce: Uint8Array = randomBytes(NONCE_BYTES)): JobSpec {
  const fields: SpecFields = {
    v: SPEC_VERSION,
    nonce: Uint8Array.from(nonce),
    created,
    inputs: inputs.map(({ path, mediaType, encoding, size, mtimeMs }) => ({ path, mediaType, ...(encoding != null ? { encoding } : {}), size, mtimeMs })),
    to: to.mediaType,
    ...(to.encoding != null ? { encoding: to.encoding } : {}),
    target: request.to,
    ...(request.from != null ? { from: request.from } : {}),
    output: request.output,
    overwrite: request.overwrite ?? false,
    settings: request.settings ?? {},
    place: request.place ?? 'any',
    ...(request.nodes != null ? { nodes: request.nodes } : {}),
    ...(request.maxPrice != null ? { maxPrice: request.maxPrice } : {}),
    verify: request.verify ?? 'sample',
    blockBytes: request.blockBytes ?? 0,
    deadlineSeconds: request.deadlineSeconds ?? 0,
    ...(request.inFlight != null ? { inFlight: request.inFlight } : {}),
    ...(request.awaitCommit != null ? { awaitCommit: request.awaitCommit } : {})
  }
  const bytes = encodeCanonical(fields, { maxBytes: SPEC_BYTES_MAX })
  const digest = createDigest(SHA2_256, hash('sha256', bytes, 'buffer'))
  return { id: CID.createV1(DAG_CBOR, digest).toString(), bytes }
}

/** What was asked for, from the bytes of a spec; undefined for one of a version that does not hold all of it. */
export function readSpec (bytes: Uint8Array): { request: JobRequest, inputs: Input[], to: { mediaType: string, encoding?: Encoding }, created: number } | undefined {
  const spec = decodeCanonical(bytes, { maxBytes: SPEC_BYTES_MAX }) as SpecFields
  if (spec.v !== SPEC_VERSION) return undefined
  const { v: _, nonce: __, created, inputs, to, encoding, target, blockBytes, deadlineSeconds, ...request } = spec
  return {
    request: { ...request, inputs: inputs.map(({ path }) => path), to: target, ...(blockBytes > 0 ? { blockBytes } : {}), ...(deadlineSeconds > 0 ? { deadlineSeconds } : {}) },
    inputs,
    to: { mediaType: to, ...(encoding != null ? { encoding } : {}) },
    created
  }
}
