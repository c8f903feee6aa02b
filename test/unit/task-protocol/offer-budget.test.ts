import assert from 'node:assert/strict'
import { OFFER_BUDGET_BYTES, OFFER_BUDGET_BYTES_PER_SECOND, OFFER_COST_BYTES, OFFERS_MAX, OFFERS_REFUSED_MAX, PARAMETERS_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import { OfferBudget } from '../../../daemon/task-protocol/offer-budget.ts'

describe('offer budget', () => {
  it('covers all the jobs a lease may carry, of a usual size, at once', () => {
    const budget = new OfferBudget(0)
    for (let i = 0; i < OFFERS_MAX; i++) assert.equal(budget.spend(32 << 10, 0), 'judge')
  })

  it('is spent by large parameters, and grows again with time, up to where it began', () => {
    const budget = new OfferBudget(0)
    let taken = 0
    while (budget.spend(PARAMETERS_BYTES_MAX, 0) === 'judge') taken++
    assert.equal(taken, Math.floor(OFFER_BUDGET_BYTES / (PARAMETERS_BYTES_MAX + OFFER_COST_BYTES)))
    const wait = (PARAMETERS_BYTES_MAX + OFFER_COST_BYTES) / OFFER_BUDGET_BYTES_PER_SECOND * 1000
    assert.equal(budget.spend(PARAMETERS_BYTES_MAX, wait), 'judge')
    let again = 0
    while (budget.spend(PARAMETERS_BYTES_MAX, 1e9) === 'judge') again++
    assert.equal(again, taken)
  })

  it('calls it a flood when refusals do not stop it, not when one waits in between', () => {
    const budget = new OfferBudget(0)
    while (budget.spend(0, 0) === 'judge') { /* until it is spent */ }
    for (let i = 1; i < OFFERS_REFUSED_MAX; i++) assert.equal(budget.spend(0, 0), 'busy')
    assert.equal(budget.spend(0, 0), 'flood')
    assert.equal(budget.spend(0, 1000), 'judge')
    while (budget.spend(0, 1000) === 'judge') { /* until it is spent again */ }
    assert.equal(budget.spend(0, 1000), 'busy')
  })
})
