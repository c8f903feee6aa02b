/**
 * How fast one requester may announce jobs. Judging an offer decodes and validates up to 512 KiB of parameters on the main
 * loop, which an honest requester asks for once per job; without a budget one that does nothing else would delay every beat.
 */
import { OFFER_BUDGET_BYTES, OFFER_BUDGET_BYTES_PER_SECOND, OFFER_COST_BYTES, OFFERS_REFUSED_MAX } from './constants.ts'

export type OfferVerdictOfBudget = 'judge' | 'busy' | 'flood'

export class OfferBudget {
  private left = OFFER_BUDGET_BYTES
  private at: number
  private refused = 0

  /** `now`: monotonic milliseconds, as everywhere here. */
  constructor (now: number) {
    this.at = now
  }

  /** `busy`: refuse it unread; `flood`: so many were refused in a row that the lease is to end. */
  spend (parameterBytes: number, now: number): OfferVerdictOfBudget {
    this.left = Math.min(OFFER_BUDGET_BYTES, this.left + (now - this.at) / 1000 * OFFER_BUDGET_BYTES_PER_SECOND)
    this.at = now
    const cost = OFFER_COST_BYTES + parameterBytes
    if (cost <= this.left) {
      this.left -= cost
      this.refused = 0
      return 'judge'
    }
    return ++this.refused > OFFERS_REFUSED_MAX ? 'flood' : 'busy'
  }
}
