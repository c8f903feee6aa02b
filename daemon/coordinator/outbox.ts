/** Gathers the effects of one step: one order per kind and worker, however many blocks it is about. */
import type { AttemptRef, Effect, JobNews } from './machine-types.ts'

export class Outbox {
  #effects: Effect[] = []
  #store: AttemptRef[] = []
  #inspect: AttemptRef[] = []
  #check: AttemptRef[] = []
  #journal: AttemptRef[] = []
  #discard: AttemptRef[] = []
  readonly #dispatch = new Map<string, AttemptRef[]>()
  readonly #cancel = new Map<string, AttemptRef[]>()

  store (result: AttemptRef): void { this.#store.push(result) }
  inspect (result: AttemptRef): void { this.#inspect.push(result) }
  check (result: AttemptRef): void { this.#check.push(result) }
  journal (result: AttemptRef): void { this.#journal.push(result) }
  discard (result: AttemptRef): void { this.#discard.push(result) }

  dispatch (worker: string, attempt: AttemptRef): void {
    gather(this.#dispatch, worker, attempt)
  }

  cancel (worker: string, attempt: AttemptRef): void {
    gather(this.#cancel, worker, attempt)
  }

  news (news: JobNews): void {
    this.#effects.push({ type: 'news', news })
  }

  /** Everything that is not about many blocks at once. */
  other (effect: Effect): void {
    this.#effects.push(effect)
  }

  /** Cancels come before dispatches and releases, so that a slot asked for again is free at the worker. */
  drain (): Effect[] {
    this.#forgetDiscarded()
    const effects: Effect[] = []
    for (const [worker, attempts] of this.#cancel) effects.push({ type: 'cancel', worker, attempts })
    if (this.#discard.length > 0) effects.push({ type: 'discard', results: this.#discard })
    if (this.#store.length > 0) effects.push({ type: 'store', results: this.#store })
    if (this.#inspect.length > 0) effects.push({ type: 'inspect', results: this.#inspect })
    if (this.#check.length > 0) effects.push({ type: 'check', results: this.#check })
    if (this.#journal.length > 0) effects.push({ type: 'journal', results: this.#journal })
    for (const [worker, orders] of this.#dispatch) effects.push({ type: 'dispatch', worker, orders })
    for (const effect of this.#effects) effects.push(effect)
    this.#effects = []
    this.#store = []
    this.#inspect = []
    this.#check = []
    this.#journal = []
    this.#discard = []
    this.#dispatch.clear()
    this.#cancel.clear()
    return effects
  }

  /** A result that was taken and withdrawn within the step: nothing is to be done with it but to let it go. */
  #forgetDiscarded (): void {
    if (this.#discard.length === 0) return
    const gone = new Set(this.#discard)
    const wanted = (result: AttemptRef): boolean => !gone.has(result)
    this.#store = this.#store.filter(wanted)
    this.#inspect = this.#inspect.filter(wanted)
    this.#check = this.#check.filter(wanted)
    this.#journal = this.#journal.filter(wanted)
  }
}

function gather (map: Map<string, AttemptRef[]>, worker: string, attempt: AttemptRef): void {
  const list = map.get(worker)
  if (list == null) map.set(worker, [attempt])
  else list.push(attempt)
}
