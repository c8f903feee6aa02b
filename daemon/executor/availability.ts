/**
 * How much this machine works for others now: a pure decision on samples of the machine, and the service that takes them.
 *
 * Guaranteed: no more engines than `slots` begin work for others, and while `paused` those that run are stopped and use no CPU. An engine may have
 * several threads for moments (garbage collection, reading), so `cpuShare` bounds engines, not instructions.
 */
import { availableParallelism } from 'node:os'
import type { Log } from '../log.ts'
import { BUSY_SHARE, BUSY_WINDOW_MS, FREE_SHARE, FREE_WINDOW_MS, SAMPLE_MS } from './constants.ts'
import type { Executor, GuestLimit } from './index.ts'
import { readMachine } from './machine.ts'

/** What was seen of the machine at one moment. */
export interface MachineSample {
  /** Monotonic milliseconds. */
  at: number
  /** CPU milliseconds all cores were at work for anybody, since some fixed moment; undefined where the system does not tell. */
  busyMs: number | undefined
  /** Of these, those of this daemon and its engines. */
  ownMs: number
  onBattery: boolean
}

export interface AvailabilityPolicy {
  /** Engine processes there are: the executor's slots. */
  slots: number
  cores: number
  /** Share of the cores that engines may use, above 0 and at most 1. */
  cpuShare: number
  /** Works for others only while other programs leave the machine alone. */
  idleOnly: boolean
  battery: 'any' | 'mains'
  /** Whether a time, in UTC milliseconds, lies within the hours of work. */
  open: (utc: number) => boolean
}

export interface Availability extends GuestLimit {
  /** Why it is less than all, in words for a user; undefined if it is all. */
  reason: string | undefined
}

/** Samples older than this are not needed: milliseconds. */
export const SAMPLES_KEPT_MS = Math.max(BUSY_WINDOW_MS, FREE_WINDOW_MS) + 2 * SAMPLE_MS

/**
 * What holds now. `samples` are in order of time, the newest last; `before` is what held until now. Others that use more than BUSY_SHARE of the cores
 * over BUSY_WINDOW_MS stop the work (the share BOINC stops at, too); it goes on once they used less than FREE_SHARE over FREE_WINDOW_MS, so that it
 * does not flap.
 */
export function decideAvailability (samples: readonly MachineSample[], policy: AvailabilityPolicy, now: { monotonic: number, utc: number }, before: Availability | undefined): Availability {
  if (policy.battery === 'mains' && samples.at(-1)?.onBattery === true) return { slots: 0, paused: true, reason: REASONS.battery }
  if (policy.idleOnly && othersAreBusy(samples, policy.cores, now.monotonic, before?.reason === REASONS.busy)) return { slots: 0, paused: true, reason: REASONS.busy }
  if (!policy.open(now.utc)) return { slots: 0, paused: false, reason: REASONS.hours }
  const slots = Math.min(policy.slots, Math.max(1, Math.round(policy.cores * policy.cpuShare)))
  return { slots, paused: false, reason: slots < policy.slots ? `${Math.round(policy.cpuShare * 100)} % of the processor` : undefined }
}

const REASONS = { battery: 'on battery', busy: 'the machine is busy', hours: 'outside its hours' } as const

function othersAreBusy (samples: readonly MachineSample[], cores: number, now: number, wereBusy: boolean): boolean {
  const share = othersShare(samples, cores, now - (wereBusy ? FREE_WINDOW_MS : BUSY_WINDOW_MS), wereBusy ? FREE_WINDOW_MS / 2 : BUSY_WINDOW_MS / 2)
  if (share == null) return wereBusy
  return share > (wereBusy ? FREE_SHARE : BUSY_SHARE)
}

/** Share of the cores that other programs used since a moment; undefined if the samples span less than `leastMs`. */
function othersShare (samples: readonly MachineSample[], cores: number, since: number, leastMs: number): number | undefined {
  const known = samples.filter(({ at, busyMs }) => at >= since && busyMs != null)
  const [first, last] = [known[0], known.at(-1)]
  if (first?.busyMs == null || last?.busyMs == null || last.at - first.at < leastMs) return undefined
  // The two counters are read one after the other and in steps of 10 ms: their difference may dip below zero.
  const others = Math.max(0, last.busyMs - first.busyMs - (last.ownMs - first.ownMs))
  return others / (cores * (last.at - first.at))
}

export interface AvailabilityComponents {
  executor: Pick<Executor, 'slots' | 'limitGuests'>
  /** Told of what holds, at the start and whenever it changes, after the executor was. */
  changed: (availability: Availability) => void
  log: Log
  /** @default what this machine says */
  sample?: () => MachineSample
  /** @default the clock */
  utc?: () => number
}

export interface AvailabilityService {
  readonly current: Availability
  start: () => void
  stop: () => void
  /** Looks now, as otherwise every SAMPLE_MS. */
  look: () => void
}

/** Looks at the machine every SAMPLE_MS, unless the policy is to work always and with everything; then it never looks. */
export function createAvailability (components: AvailabilityComponents, policy: Omit<AvailabilityPolicy, 'slots' | 'cores'> & { always: boolean }): AvailabilityService {
  return new SampledAvailability(components, policy)
}

class SampledAvailability implements AvailabilityService {
  readonly #components: AvailabilityComponents
  readonly #policy: AvailabilityPolicy
  readonly #always: boolean
  #samples: MachineSample[] = []
  /** What the machine said last, and what it forgot of this node's own work since the start. */
  #said: MachineSample | undefined
  #forgottenMs = 0
  #timer: NodeJS.Timeout | undefined
  #current: Availability

  constructor (components: AvailabilityComponents, { always, ...policy }: Omit<AvailabilityPolicy, 'slots' | 'cores'> & { always: boolean }) {
    this.#components = components
    this.#policy = { ...policy, slots: components.executor.slots, cores: availableParallelism() }
    this.#always = always
    this.#current = { slots: components.executor.slots, paused: false, reason: undefined }
  }

  get current (): Availability {
    return { ...this.#current }
  }

  start (): void {
    if (this.#always || this.#timer != null) return
    this.look()
    this.#timer = setInterval(() => { this.look() }, SAMPLE_MS).unref()
  }

  /** Lifts a pause: engines that are stopped could not end. */
  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (!this.#current.paused) return
    this.#current = { ...this.#current, paused: false }
    this.#components.executor.limitGuests(this.#current)
  }

  /**
   * The system forgets what an engine used that was killed together with its sandbox: nobody waited for it. Taken for the work of others, every
   * such kill would stop this node. What it used since the last look is not known either, so that nothing of that time counts as theirs.
   */
  #remembering (sample: MachineSample): MachineSample {
    const before = this.#said
    this.#said = sample
    if (before != null && sample.ownMs < before.ownMs) this.#forgottenMs += before.ownMs - sample.ownMs + Math.max(0, (sample.busyMs ?? 0) - (before.busyMs ?? 0))
    return { ...sample, ownMs: sample.ownMs + this.#forgottenMs }
  }

  look (): void {
    const { executor, changed, log, sample = readMachine, utc = Date.now } = this.#components
    const newest = this.#remembering(sample())
    this.#samples = [...this.#samples.filter(({ at }) => at >= newest.at - SAMPLES_KEPT_MS), newest]
    const next = decideAvailability(this.#samples, this.#policy, { monotonic: newest.at, utc: utc() }, this.#current)
    const { slots, paused, reason } = this.#current
    if (next.slots === slots && next.paused === paused && next.reason === reason) return
    this.#current = next
    log.info({ ...next }, 'how much this machine works for others has changed')
    executor.limitGuests(next)
    changed({ ...next })
  }
}
