/** From an order to its result: input checked, engine run, output hashed. Failures are results, never exceptions. */
import { readFile } from 'node:fs/promises'
import type { Parameters } from '../block-convert/index.ts'
import type { EngineOutcome, Executor } from '../executor/index.ts'
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { DETAILS_BYTES_MAX, INLINE_BYTES_MAX, NAME_BYTES_MAX, SLICE_BYTES_MAX, TEXT_BYTES_MAX } from './constants.ts'
import type { AttemptRef } from './lease-model.ts'
import type { WireFailure, WireFailureReason } from './messages.ts'
import { receiptLeaf, sha256 } from './receipts.ts'
import type { ServedOffer, ServedOrder, ServedResult } from './server-types.ts'

const NO_BYTES = new Uint8Array(0)

export interface RunOptions {
  signal: AbortSignal
  onProgress: (done: number) => void
  /** It has its engine. */
  onBegin: () => void
}

/** The job's parameters merged with the block's slice. Throws for a slice that is not a canonical map. */
export function parametersOf (offer: ServedOffer, order: { slice?: Uint8Array }): Parameters {
  if (order.slice == null) return offer.values
  const slice = decodeCanonical(order.slice, { maxBytes: SLICE_BYTES_MAX })
  if (typeof slice !== 'object' || slice === null || Array.isArray(slice)) throw new TypeError('the slice is not a map')
  return { ...offer.values, ...slice }
}

/** What is wrong with an inline order's input; undefined if nothing is. */
function badInput (order: ServedOrder): string | undefined {
  if (order.bytes.length !== order.size) return `${order.bytes.length} bytes of input where ${order.size} are announced`
  return Buffer.compare(sha256(order.bytes), order.digest) === 0 ? undefined : 'the input does not have its digest'
}

/** Runs an inline converter. A result if the converter answered at once, otherwise a promise of one. */
export function runInline (executor: Pick<Executor, 'runInline'>, offer: ServedOffer, order: ServedOrder, signal: AbortSignal | undefined): ServedResult | Promise<ServedResult> {
  const problem = badInput(order)
  if (problem != null) return failure(order, { reason: 'transfer', message: problem })
  try {
    const outcome = executor.runInline(offer.converter, parametersOf(offer, order), order.bytes, signal)
    if (!(outcome instanceof Promise)) return resultOf(offer, order, outcome, undefined)
    return outcome.then(
      settled => resultOf(offer, order, settled, undefined),
      error => failure(order, { reason: 'unavailable', message: (error as Error).message })
    )
  } catch (error) {
    return failure(order, { reason: 'unavailable', message: (error as Error).message })
  }
}

/** What the system refused this node, for another one: its code, and not the message, which names files. */
export function lacking (error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code == null ? message : `the system refuses this node what it takes: ${code}`
}

/** Runs a small block's converter in an engine process. */
export async function runSmall (executor: Pick<Executor, 'run' | 'workspace'>, offer: ServedOffer, order: ServedOrder, options: RunOptions): Promise<ServedResult> {
  const problem = badInput(order)
  if (problem != null) return failure(order, { reason: 'transfer', message: problem })
  try {
    const workspace = await executor.workspace()
    try {
      const outcome = await executor.run({
        converter: offer.converter,
        version: offer.version,
        parameters: parametersOf(offer, order),
        input: { bytes: order.bytes },
        workspace,
        limits: { outputBytes: offer.outputBytes }
      }, { ...options, guest: true })
      return await smallResult(offer, order, outcome)
    } finally {
      await workspace.dispose()
    }
  } catch (error) {
    return failure(order, { reason: 'unavailable', message: lacking(error) })
  }
}

/** The result of an outcome, its output read if it is small enough for the lease. Rejects with the system's error. */
export async function smallResult (offer: ServedOffer, order: ServedOrder, outcome: EngineOutcome): Promise<ServedResult> {
  const fits = outcome.ok && 'path' in outcome.output && outcome.output.size <= INLINE_BYTES_MAX
  return resultOf(offer, order, outcome, fits ? await readFile((outcome.output as { path: string }).path) : undefined)
}

/** What an engine said, of a good result. */
export function outcomeOf ({ bytes, units, cpuMs, wallMs }: ServedResult): Extract<EngineOutcome, { ok: true }> {
  return { ok: true, output: { bytes }, ...(units == null ? {} : { units }), cpuMs, wallMs }
}

/** `file`: the bytes of an output that was written to a file and is small enough. */
function resultOf (offer: ServedOffer, order: ServedOrder, outcome: EngineOutcome, file: Uint8Array | undefined): ServedResult {
  if (!outcome.ok) return failure(order, engineFailure(outcome))
  const bytes = 'bytes' in outcome.output ? outcome.output.bytes : file
  const size = bytes?.length ?? (outcome.output as { size: number }).size
  if (size > offer.outputBytes) return failure(order, { reason: 'output-limit', message: `an output of ${size} bytes, at most ${offer.outputBytes} were ordered` })
  if (bytes == null || size > INLINE_BYTES_MAX) return failure(order, { reason: 'needs-stream', message: `an output of ${size} bytes does not fit on the lease` })
  const result: ServedResult = {
    offer: order.offer,
    block: order.block,
    attempt: order.attempt,
    digest: sha256(bytes),
    size,
    bytes,
    units: outcome.units,
    cpuMs: Math.round(outcome.cpuMs),
    wallMs: Math.round(outcome.wallMs),
    failure: undefined,
    ok: true,
    reason: undefined,
    weight: size,
    leaf: undefined
  }
  result.leaf = receiptLeaf(offer.job, order.digest, result)
  return result
}

/** Why an engine gave nothing, in the wire's terms. */
export function engineFailure (outcome: Extract<EngineOutcome, { ok: false }>): Partial<WireFailure> & { reason: WireFailureReason } {
  return { reason: outcome.reason, message: outcome.message, code: outcome.code, details: detailsOf(outcome.details) }
}

function detailsOf (details: Record<string, unknown> | undefined): Uint8Array | undefined {
  if (details == null) return undefined
  try {
    return encodeCanonical(details, { maxBytes: DETAILS_BYTES_MAX })
  } catch {
    // details only explain: those that cannot be sent are left out, the failure itself is not
    return undefined
  }
}

/** Cuts a text to a number of bytes of UTF-8. */
function cut (text: string, bytes: number): string {
  return Buffer.byteLength(text) <= bytes ? text : Buffer.from(text).subarray(0, bytes - 3).toString().replace(/\uFFFD+$/, '')
}

export function wireFailure (failed: Partial<WireFailure> & { reason: WireFailureReason }): WireFailure {
  return {
    reason: failed.reason,
    message: cut(failed.message ?? '', TEXT_BYTES_MAX),
    code: cut(failed.code ?? '', NAME_BYTES_MAX),
    details: failed.details,
    retryAfterMs: failed.retryAfterMs ?? 0
  }
}

/** The result of an attempt that gave nothing. */
export function failure (attempt: AttemptRef, failed: Partial<WireFailure> & { reason: WireFailureReason }): ServedResult {
  const wire = wireFailure(failed)
  return {
    offer: attempt.offer,
    block: attempt.block,
    attempt: attempt.attempt,
    digest: NO_BYTES,
    size: 0,
    bytes: NO_BYTES,
    units: undefined,
    cpuMs: 0,
    wallMs: 0,
    failure: wire,
    ok: false,
    reason: failed.reason,
    weight: wire.message.length + (wire.details?.length ?? 0),
    leaf: undefined
  }
}
