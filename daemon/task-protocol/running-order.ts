/** An order of another node at work here, on the lease or on a task stream. */
import type { AttemptRef, Generation, Refusal } from './lease-model.ts'

export class RunningOrder {
  readonly generation: Generation
  readonly attempt: AttemptRef
  /** Of the conversion, whoever orders it under whatever number. */
  readonly identity: () => string
  /** Fires when nobody listens any more: cancelled, or its lease is over. Nothing of it can be said. */
  readonly unheard = new AbortController()
  /** Fires when its engine is to stop: cancelled, or handed back. */
  readonly stopped = new AbortController()
  /** Resolves when its engine is done with it and what became of it is known. */
  settled: Promise<void> = Promise.resolve()
  /** Why it was handed back. */
  refusal: Refusal | undefined
  /** What it reported itself. */
  done = 0
  private followed: RunningOrder | undefined

  constructor (generation: Generation, { offer, block, attempt }: AttemptRef, identity: () => string) {
    this.generation = generation
    this.attempt = { offer, block, attempt }
    this.identity = identity
  }

  /** Its own, or that of the earlier attempt whose work it waits for. */
  get progress (): number {
    return Math.max(0, Math.floor(this.followed?.progress ?? this.done))
  }

  /** The work is done by an earlier attempt at the same conversion. */
  follow (other: RunningOrder | undefined): void {
    this.followed = other
  }

  cancel (): void {
    this.unheard.abort()
    this.stopped.abort()
  }

  /** Its lease is over; its engine goes on. */
  orphan (): void {
    this.unheard.abort()
  }

  /** Ends it without blame. What is finished and on its way already goes its way. */
  handBack (refusal: Refusal): void {
    this.refusal = refusal
    this.stopped.abort()
  }
}
