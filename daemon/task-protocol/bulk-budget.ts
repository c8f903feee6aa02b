/** The write cap of a connection, shared by the bulk streams at work on it. */
import type { Connection } from '@libp2p/interface'
import { drainedRate, newRate, writeCap } from './write-cap.ts'

export interface BulkBudget {
  /** Registers a sending stream; call the result when it is done. */
  join: () => () => void
  /** Bytes one stream may have waiting now. */
  cap: () => number
  /** `bytes` left our buffer; `queued`: more wait. */
  drained: (bytes: number, queued: boolean) => void
}

const budgets = new WeakMap<Connection, BulkBudget>()

/** The budget of a connection; without one, a budget of its own. */
export function bulkBudget (connection: Connection | undefined): BulkBudget {
  const known = connection == null ? undefined : budgets.get(connection)
  if (known != null) return known
  const budget = createBudget()
  if (connection != null) budgets.set(connection, budget)
  return budget
}

function createBudget (): BulkBudget {
  let streams = 0
  let state = newRate()
  return {
    join () {
      streams++
      let joined = true
      return () => {
        if (joined) streams--
        joined = false
      }
    },
    cap: () => writeCap(state.rate, streams),
    drained (bytes, queued) {
      state = drainedRate(state, bytes, queued, performance.now())
    }
  }
}
