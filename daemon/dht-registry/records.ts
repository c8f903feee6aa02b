/**
 * The advert's summary in the DHT, at `/weft-advert/<peer id>`: at most 2 KiB, signed, with the CID of the full advert.
 * A stateful validator refuses what is older than what was seen; the selector takes the highest sequence.
 */
import { createHash } from 'node:crypto'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import { DAG_CBOR_PAYLOAD, encodeCanonical, seal } from '../trust/index.ts'
import { checkStatement, opened, type OpenAdvertOptions } from './adverts.ts'
import { CONVERTERS_MAX, RECORD_BYTES_MAX, RECORD_DOMAIN, RECORD_NAMESPACE } from './constants.ts'
import { AdvertError } from './errors.ts'
import type { Floors } from './floors.ts'
import type { Advert } from './index.ts'
import { recordKey } from './keys.ts'
import { amount, count, exactly, flag, list, malformed, text, time } from './shape.ts'

/** id, version, from, to */
export type ConverterSummary = [id: string, version: string, from: string, to: string]

export interface AdvertRecord {
  network: string
  peer: string
  operator: string
  sequence: number
  issued: number
  expires: number
  price: string
  unit: string
  draining: boolean
  /** CID of the full, sealed advert. */
  advert: CID
  converters: ConverterSummary[]
  /** There are more converters than fit. */
  more: boolean
}

const FIELDS = ['v', 'network', 'peer', 'operator', 'sequence', 'issued', 'expires', 'price', 'unit', 'draining', 'advert', 'converters', 'more'] as const

/** Seals the summary of an advert, with as many converters as fit. */
export async function sealRecord (key: PrivateKey, advert: Advert, cid: CID): Promise<Uint8Array> {
  const { network, peer, operator, sequence, issued, expires, price, unit, draining } = advert
  const all = advert.converters.map(({ id, version, from, to }): ConverterSummary => [id, version, from, to])
  for (let fit = all.length; ; fit = Math.floor(fit * 0.75)) {
    const summary = { v: 1, network, peer, operator, sequence, issued, expires, price, unit, draining, advert: cid, converters: all.slice(0, fit), more: fit < all.length }
    const sealed = await seal(key, RECORD_DOMAIN, DAG_CBOR_PAYLOAD, encodeCanonical(summary))
    if (sealed.byteLength <= RECORD_BYTES_MAX) return sealed
    if (fit === 0) throw new AdvertError('too-large', `a record of ${sealed.byteLength} bytes without any converter, at most ${RECORD_BYTES_MAX} are allowed`)
  }
}

/** @throws AdvertError */
export async function openRecord (sealed: Uint8Array, options: OpenAdvertOptions): Promise<{ record: AdvertRecord, peer: PeerId }> {
  const { payload, peerId } = await opened(sealed, RECORD_DOMAIN, RECORD_BYTES_MAX)
  const record = shape(payload)
  checkStatement(record, peerId, options)
  return { record, peer: peerId }
}

export interface ValidatorInit {
  network: string
  floors: Floors
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

type Validate = (key: Uint8Array, value: Uint8Array) => Promise<void>
type Select = (key: Uint8Array, records: Uint8Array[]) => Promise<number>

/** For kad-dht's `validators`. They throw AdvertError. */
export function advertValidators ({ network, floors, now = Date.now }: ValidatorInit): Record<string, Validate> {
  return {
    [RECORD_NAMESPACE]: async (key, value) => {
      const { record } = await openRecord(value, { network, now: now() })
      if (Buffer.compare(key, recordKey(record.peer)) !== 0) throw new AdvertError('key', `the record of ${record.peer} under another key`)
      await floors.admit({ peer: record.peer, kind: 'record', sequence: record.sequence, issued: record.issued, digest: digestOf(value) })
    }
  }
}

/** For kad-dht's `selectors`: the highest sequence; of equal ones the greatest bytes, so that all readers agree. */
export function advertSelectors (): Record<string, Select> {
  return {
    [RECORD_NAMESPACE]: async (_key, records) => {
      let best = 0
      let bestSequence = -1
      for (const [index, sealed] of records.entries()) {
        const sequence = await sequenceOf(sealed)
        const current = records[best]
        if (sequence > bestSequence || (sequence === bestSequence && current != null && Buffer.compare(sealed, current) > 0)) {
          best = index
          bestSequence = sequence
        }
      }
      return best
    }
  }
}

export function digestOf (bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

/** The sequence a record's signer gave it; -1 if nobody signed it. */
async function sequenceOf (sealed: Uint8Array): Promise<number> {
  try {
    return shape((await opened(sealed, RECORD_DOMAIN, RECORD_BYTES_MAX)).payload).sequence
  } catch {
    // Not a record: worse than any.
    return -1
  }
}

function shape (value: unknown): AdvertRecord {
  const fields = exactly(value, FIELDS, 'a record')
  if (fields.v !== 1) throw malformed('a record of another version')
  const advert = CID.asCID(fields.advert)
  if (advert == null) throw malformed('advert is not a CID')
  return {
    network: text(fields.network, 'network'),
    peer: text(fields.peer, 'peer'),
    operator: text(fields.operator, 'operator'),
    sequence: count(fields.sequence, 'sequence'),
    issued: time(fields.issued, 'issued'),
    expires: time(fields.expires, 'expires'),
    price: amount(fields.price, 'price'),
    unit: text(fields.unit, 'unit'),
    draining: flag(fields.draining, 'draining'),
    advert,
    converters: list(fields.converters, CONVERTERS_MAX, 'converters').map(summary),
    more: flag(fields.more, 'more')
  }
}

function summary (value: unknown): ConverterSummary {
  const [id, version, from, to, ...rest] = list(value, 4, 'a converter')
  if (rest.length > 0) throw malformed('a converter has four parts')
  return [text(id, 'id'), text(version, 'version'), text(from, 'from'), text(to, 'to')]
}
