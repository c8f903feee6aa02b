/** The messages of `dialback/1.0.0`: one request, one response per stream. Length-prefixed Protobuf; unknown fields are skipped. */
import { reader, writer } from 'protons-runtime'
import { DIALBACK_ADDRESS_CHARS_MAX, DIALBACK_ASKED_MAX, DIALBACK_REASON_CHARS_MAX } from './dialback-constants.ts'
import { DialbackError } from './dialback-errors.ts'

/**
 * What came of one address. `reachable`: a libp2p node answered (which one was not asked); `foreign`: something took the connection but did not
 * answer as a node does; `refused`: nobody listens there; `timeout`: no answer at all; `unreachable`: no way there; `not-tried`: not dialled, for the
 * reason given.
 */
export const OUTCOMES = ['reachable', 'foreign', 'refused', 'timeout', 'unreachable', 'not-tried'] as const
export type DialbackOutcome = typeof OUTCOMES[number]

export interface Outcome { outcome: DialbackOutcome, reason: string }

/**
 * ```proto
 * message DialbackRequest { repeated string addresses = 1; }
 * ```
 */
export interface DialbackRequest {
  /** Multiaddrs of the asking node. */
  addresses: string[]
}

export const DIALBACK_STATUS = { ok: 0, busy: 1 } as const

/**
 * ```proto
 * message DialbackResponse { uint32 status = 1; string reason = 2; string observed = 3; double now = 4; repeated Outcome outcomes = 5; }
 * message Outcome { uint32 outcome = 1; string reason = 2; }
 * ```
 */
export interface DialbackResponse {
  status: number
  reason: string
  /** Multiaddr the request came from, as the answering node sees it. */
  observed: string
  /** The answering node's clock when the request arrived, UTC milliseconds. A double, because protons-runtime's 64-bit integers lose bits. */
  now: number
  /** One per address asked for, in its order; none unless `status` is ok. */
  outcomes: Outcome[]
}

export function encodeDialbackRequest ({ addresses }: DialbackRequest): Uint8Array {
  const out = writer()
  for (const address of addresses) out.uint32(10).string(address)
  return out.finish()
}

/** @throws DialbackError */
export function decodeDialbackRequest (bytes: Uint8Array): DialbackRequest {
  const addresses: string[] = []
  fields(bytes, (tag, input) => {
    if (tag !== 10) return false
    if (addresses.push(text(input.string(), DIALBACK_ADDRESS_CHARS_MAX, 'an address')) > DIALBACK_ASKED_MAX) throw new DialbackError(`more than ${DIALBACK_ASKED_MAX} addresses`)
    return true
  })
  return { addresses }
}

export function encodeDialbackResponse ({ status, reason, observed, now, outcomes }: DialbackResponse): Uint8Array {
  const out = writer().uint32(8).uint32(status)
  if (reason !== '') out.uint32(18).string(reason.slice(0, DIALBACK_REASON_CHARS_MAX))
  if (observed !== '') out.uint32(26).string(observed)
  out.uint32(33).double(now)
  for (const { outcome, reason: why } of outcomes) {
    const one = writer().uint32(8).uint32(OUTCOMES.indexOf(outcome) + 1)
    if (why !== '') one.uint32(18).string(why.slice(0, DIALBACK_REASON_CHARS_MAX))
    out.uint32(42).bytes(one.finish())
  }
  return out.finish()
}

/** @throws DialbackError */
export function decodeDialbackResponse (bytes: Uint8Array): DialbackResponse {
  let status: number | undefined
  const response: DialbackResponse = { status: 0, reason: '', observed: '', now: 0, outcomes: [] }
  fields(bytes, (tag, input) => {
    switch (tag) {
      case 8: status = input.uint32(); return true
      case 18: response.reason = text(input.string(), DIALBACK_REASON_CHARS_MAX, 'the reason'); return true
      case 26: response.observed = text(input.string(), DIALBACK_ADDRESS_CHARS_MAX, 'the observed address'); return true
      case 33: response.now = time(input.double()); return true
      case 42:
        if (response.outcomes.push(decodeOutcome(input.bytes())) > DIALBACK_ASKED_MAX) throw new DialbackError(`more than ${DIALBACK_ASKED_MAX} outcomes`)
        return true
      default: return false
    }
  })
  if (status == null) throw new DialbackError('a response without a status')
  return { ...response, status }
}

function decodeOutcome (bytes: Uint8Array): Outcome {
  let outcome: DialbackOutcome | undefined
  let reason = ''
  fields(bytes, (tag, input) => {
    if (tag === 8) outcome = OUTCOMES[input.uint32() - 1]
    else if (tag === 18) reason = text(input.string(), DIALBACK_REASON_CHARS_MAX, 'a reason')
    else return false
    return true
  })
  if (outcome == null) throw new DialbackError('an outcome of no known kind')
  return { outcome, reason }
}

/** Calls `take` with each field's tag; what it does not take is skipped. */
function fields (bytes: Uint8Array, take: (tag: number, input: ReturnType<typeof reader>) => boolean): void {
  try {
    const input = reader(bytes)
    while (input.pos < input.len) {
      const tag = input.uint32()
      if (!take(tag, input)) input.skipType(tag & 7)
    }
  } catch (error) {
    if (error instanceof DialbackError) throw error
    throw new DialbackError(`not a message of dialback/1.0.0: ${(error as Error).message}`, { cause: error })
  }
}

/** Text of others ends up in logs and on terminals: no control characters. */
function text (value: string, max: number, what: string): string {
  // eslint-disable-next-line no-control-regex
  if (value.length > max || /[\u0000-\u001f\u007f-\u009f]/.test(value)) throw new DialbackError(`${what} is too long or has control characters`)
  return value
}

/** UTC milliseconds that a Date can hold. */
function time (value: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > 8.64e15) throw new DialbackError('the clock shows no time')
  return value
}
