/** Whether this worker takes an offer, and where its blocks would run. */
import type { Parameters } from '../block-convert/index.ts'
import { decodeCanonical } from '../trust/index.ts'
import { PARAMETERS_BYTES_MAX } from './constants.ts'
import type { Refusal } from './lease-model.ts'
import type { OfferVerdict } from './lease-worker-events.ts'
import type { WireOffer } from './messages.ts'
import { offerDigest } from './receipts.ts'
import type { ServedConverters, ServedOffer } from './server-types.ts'

/** 10^-6 of a unit: an unsigned decimal, far longer than any money. */
const PRICE = /^\d{1,40}$/

const NO_BYTES = new Uint8Array(0)

/** An offer refused without looking into it. */
export function refusedUnread (offer: WireOffer, refusal: Refusal): ServedOffer {
  return { ...offer, digest: NO_BYTES, values: {}, verdict: { ok: false, ...refusal }, synchronous: false }
}

/** Load and the peer itself are the lease's matter; an offer is judged by what it asks for and what it pays. */
export function judgeOffer (converters: ServedConverters, policy: ((offer: WireOffer) => Refusal | undefined) | undefined, offer: WireOffer): ServedOffer {
  const judged = (verdict: OfferVerdict, values: Parameters = {}): ServedOffer => ({ ...offer, digest: offerDigest(offer), values, verdict, synchronous: false })
  const refused = (reason: Refusal['reason'], message: string): ServedOffer => judged({ ok: false, reason, message, retryAfterMs: 0 })
  if (!PRICE.test(offer.price)) return refused('protocol', 'the price is not a decimal')
  const own = policy?.(offer)
  if (own != null) return judged({ ok: false, ...own })
  const converter = converters.find(offer.converter, offer.version)
  if (converter == null) return refused('unsupported', `no converter '${offer.converter}' of version ${offer.version} here`)
  let parameters: unknown
  try {
    parameters = decodeCanonical(offer.parameters, { maxBytes: PARAMETERS_BYTES_MAX })
  } catch (error) {
    return refused('protocol', `the parameters: ${(error as Error).message}`)
  }
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) return refused('protocol', 'the parameters are not a map')
  try {
    return judged({ ok: true, pool: converter.runs }, converter.validate(parameters as Parameters))
  } catch (error) {
    return refused('unsupported', `the parameters are not accepted: ${(error as Error).message}`)
  }
}
