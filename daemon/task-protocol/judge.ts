/** Whether this worker takes an offer, and where its blocks would run. */
import type { Parameters } from '../block-convert/index.ts'
import { decodeCanonical } from '../trust/index.ts'
import { PARAMETERS_BYTES_MAX } from './constants.ts'
import type { Refusal } from './lease-model.ts'
import type { OfferVerdict } from './lease-worker-events.ts'
import type { WireOffer } from './messages.ts'
import { offerDigest } from './receipts.ts'
import type { ServedConverters, ServedOffer } from './server-types.ts'

/** Policy on peers and load is the lease's matter; an offer is judged by what it asks for. */
export function judgeOffer (converters: ServedConverters, offers: ((converter: string) => boolean) | undefined, offer: WireOffer): ServedOffer {
  const judged = (verdict: OfferVerdict, values: Parameters = {}): ServedOffer => ({ ...offer, digest: offerDigest(offer), values, verdict, synchronous: false })
  const refused = (reason: Refusal['reason'], message: string): ServedOffer => judged({ ok: false, reason, message, retryAfterMs: 0 })
  if (offers?.(offer.converter) === false) return refused('policy', `this node does not run '${offer.converter}'`)
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
