/** The checks every result of a lease passes before a job hears of it: its order, its digest, the receipt of its batch. */
import { ProtocolError } from './errors.ts'
import type { ClientOrder, ClientResult } from './client-types.ts'
import type { AttemptOutcome } from './index.ts'
import type { Results, WireResult } from './messages.ts'
import { failed, failureOutcome } from './outcome.ts'
import { openReceipt, receiptLeaf, sha256 } from './receipts.ts'

export interface Ordered { job: string, order: ClientOrder }

/**
 * Throws ProtocolError for a result nobody ordered: the leaves of its batch cannot be known then, and an honest worker
 * never sends one. A wrong digest fails that attempt as `transfer`, a wrong receipt all of its batch as `protocol`.
 */
export function checkResults (message: Results, workerKey: Uint8Array, ordered: (result: WireResult) => Ordered | undefined): ClientResult[] {
  const leaves: Uint8Array[] = []
  for (const result of message.results) {
    const known = ordered(result)
    if (known == null) throw new ProtocolError('unexpected', `a result for block ${result.block}, attempt ${result.attempt}, which is not outstanding`)
    if (result.failure == null) leaves.push(receiptLeaf(known.job, known.order.digest, result))
  }
  const receipt = leaves.length === 0 ? undefined : openReceipt(workerKey, leaves, message.signature)
  let index = 0
  return message.results.map(result => {
    const { offer, block, attempt } = result
    let outcome: AttemptOutcome
    if (result.failure != null) outcome = failureOutcome(result, result.failure)
    else if (receipt == null) outcome = failed(result, 'protocol', 'the receipt does not match the results')
    else outcome = success(result, receipt(index++))
    const reason = outcome.ok ? undefined : result.failure?.reason ?? outcome.reason
    return { offer, block, attempt, ok: outcome.ok, reason, weight: 0, outcome }
  })
}

function success (result: WireResult, receipt: NonNullable<Extract<AttemptOutcome, { ok: true }>['receipt']>): AttemptOutcome {
  if (result.bytes.length !== result.size) return failed(result, 'transfer', `${result.bytes.length} bytes of output where ${result.size} are announced`)
  const digest = sha256(result.bytes)
  if (Buffer.compare(digest, result.digest) !== 0) return failed(result, 'transfer', 'the output does not have the digest of its result')
  return {
    ok: true,
    block: result.block,
    attempt: result.attempt,
    digest,
    size: result.size,
    // copied: the received bytes are a view into a much larger read buffer
    output: { bytes: result.bytes.slice() },
    units: result.units,
    cpuMs: result.cpuMs,
    wallMs: result.wallMs,
    receipt
  }
}
