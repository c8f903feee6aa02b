/**
 * Faults of the links between the nodes of a test network, as data: what becomes of bytes that this node sends to a peer,
 * or a peer to this node. Pure and serialisable, so that the sockets of the main thread and the datagrams of another one
 * obey the same table.
 *
 * @example
 * ```ts
 * const faults: LinkFaults = { '12D3KooW...': { delayMs: 80, loss: 0.02 } }
 * const delay = datagramDelay(faults[peer], 'out', Math.random)     // undefined: lost
 * ```
 */

/** What is wrong with the link to one peer. Delay, loss and rate are applied by the sender, each direction by its own. */
export interface LinkFault {
  /** Nothing that this node sends arrives. */
  blockOut?: boolean
  /** Nothing that the peer sends arrives. */
  blockIn?: boolean
  /** Milliseconds from here to there, beside what the real way takes. */
  delayMs?: number
  /** Milliseconds by which the delay varies, up and down, evenly. */
  jitterMs?: number
  /** Share of packets lost, from 0 to 1. */
  loss?: number
  bytesPerSecond?: number
}

/** By peer id. */
export type LinkFaults = Readonly<Record<string, LinkFault>>

/** In the data directory of a test network's node: `{ "version": 3, "peers": LinkFaults }`, and the version that is in effect. */
export const LINKS_FILE = 'links.json'
export const LINKS_APPLIED_FILE = 'links.applied'

/** Bytes of one TCP segment on an Ethernet: what is lost at once. */
const SEGMENT_BYTES = 1448

/** A lost segment with at least three behind it is sent again after one round trip (RFC 5681 section 3.2). */
const DUPLICATE_ACKS = 3

/** Milliseconds until the last segment of a flight is sent again: Linux's least retransmission timeout. Doubled with each further loss (RFC 6298). */
const RETRANSMIT_MS = 200
const RETRANSMIT_MS_MAX = 60_000

/** Milliseconds of a round trip on a link without a delay of its own. */
const ROUND_TRIP_MS_MIN = 1

const LIMITS = { delayMs: 60_000, jitterMs: 60_000, loss: 1, bytesPerSecond: 1e12 } as const

/** True if nothing is wrong. */
export function isSound (fault: LinkFault | undefined): boolean {
  return fault == null || !(fault.blockOut === true || fault.blockIn === true || (fault.delayMs ?? 0) > 0 || (fault.jitterMs ?? 0) > 0 || (fault.loss ?? 0) > 0 || fault.bytesPerSecond != null)
}

/**
 * Milliseconds by which one datagram is late; undefined if it is lost. `direction` is seen from this node: what comes in is
 * only ever blocked here, the rest is its sender's. The rate is not applied: datagrams are few and small. `random` gives
 * numbers in [0, 1).
 */
export function datagramDelay (fault: LinkFault | undefined, direction: 'in' | 'out', random: () => number): number | undefined {
  if (fault == null) return 0
  if (direction === 'in') return fault.blockIn === true ? undefined : 0
  if (fault.blockOut === true || (fault.loss != null && random() < fault.loss)) return undefined
  return delayOf(fault, random)
}

function delayOf ({ delayMs = 0, jitterMs = 0 }: LinkFault, random: () => number): number {
  return Math.max(0, delayMs + (jitterMs > 0 ? (2 * random() - 1) * jitterMs : 0))
}

/**
 * Milliseconds by which a piece of a TCP stream is late for lost segments. A lost segment costs a stream time, not bytes: one round trip
 * where others follow it, otherwise the retransmission timeout, again and again, doubled. Congestion control is left out.
 */
export function retransmitDelay (bytes: number, { loss = 0, delayMs = 0 }: LinkFault, random: () => number): number {
  if (loss <= 0) return 0
  const segments = Math.max(1, Math.ceil(bytes / SEGMENT_BYTES))
  const tail = Math.min(segments, DUPLICATE_ACKS)
  let late = 0
  if (random() < 1 - (1 - loss) ** (segments - tail)) late = Math.max(ROUND_TRIP_MS_MIN, 2 * delayMs)
  if (random() < 1 - (1 - loss) ** tail) {
    let timeout = Math.max(RETRANSMIT_MS, 2 * delayMs)
    let waited = timeout
    while (waited < RETRANSMIT_MS_MAX && random() < loss) waited += (timeout *= 2)
    late = Math.max(late, Math.min(waited, RETRANSMIT_MS_MAX))
  }
  return late
}

/** When the pieces of one stream arrive: in order, whatever delays each of them. */
export class Lane {
  /** Until then the line is busy with what was sent before. */
  #busyUntil = 0
  #lastDue = 0

  /** The instant (monotonic milliseconds, as `now`) at which a piece sent now arrives. */
  due (bytes: number, fault: LinkFault, now: number, random: () => number): number {
    const sent = fault.bytesPerSecond == null ? now : Math.max(now, this.#busyUntil) + 1000 * bytes / fault.bytesPerSecond
    this.#busyUntil = sent
    this.#lastDue = Math.max(this.#lastDue, sent + delayOf(fault, random) + retransmitDelay(bytes, fault, random))
    return this.#lastDue
  }

  /** The link is sound again: nothing waits for what was late. */
  reset (): void {
    this.#busyUntil = 0
    this.#lastDue = 0
  }
}

/** Reads a table that another process wrote. @throws RangeError with the key that is wrong */
export function readLinkFaults (tree: unknown): LinkFaults {
  if (!isRecord(tree)) throw new RangeError('expected an object of peer ids')
  return Object.fromEntries(Object.entries(tree).map(([peer, fault]) => {
    if (!isRecord(fault)) throw new RangeError(`${peer}: expected an object`)
    for (const [key, value] of Object.entries(fault)) {
      const max = LIMITS[key as keyof typeof LIMITS] as number | undefined
      const good = key === 'blockOut' || key === 'blockIn' ? typeof value === 'boolean' : max != null && typeof value === 'number' && value >= 0 && value <= max
      if (!good || (key === 'bytesPerSecond' && value === 0)) throw new RangeError(`${peer}.${key}: ${max == null ? 'no such fault of a link' : `expected a number up to ${max}`}`)
    }
    return [peer, fault as LinkFault]
  }))
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value != null && !Array.isArray(value)
}
