/** A worker as the interpreter holds it: makes orders out of recipes, sends them, and turns outcomes into facts. */
import type { BlockRecipe } from '../block-convert/index.ts'
import type { AttemptOutcome, Order, Worker, WorkerEvents } from '../task-protocol/index.ts'
import { CLOSE_MS_MAX } from './constants.ts'
import { toJobError } from './job-errors.ts'
import type { WorkerFacts } from './index.ts'
import type { AttemptRef, JobEventIn } from './machine-types.ts'
import type { ResultShelf } from './result-shelf.ts'

export interface WorkerHandleComponents {
  recipe: (block: number) => BlockRecipe
  /** A promise where the input has to be read first. */
  order: (recipe: BlockRecipe, attempt: number, kind: 'local' | 'remote') => Order | Promise<Order>
  shelf: ResultShelf
  push: (event: JobEventIn) => void
  /** Whom an attempt was given to. */
  ownerOf: (block: number, attempt: number) => string | undefined
  /** Rejects if an input is not what it was; asked when a failure may be due to that. */
  inputsUnchanged: () => Promise<void>
  warn: (error: unknown, message: string) => void
}

/** Failures that a changed input explains. */
const MAYBE_INPUT = new Set(['transfer', 'conversion', 'crash'])

export class WorkerHandle {
  readonly id: string
  readonly #components: WorkerHandleComponents
  #worker: Worker | undefined
  #operator: string | undefined
  #closed = false
  /** Attempts whose orders are being made. */
  readonly #unsent = new Set<AttemptRef>()
  #closing: Promise<void> | undefined

  constructor (id: string, components: WorkerHandleComponents) {
    this.id = id
    this.#components = components
  }

  /** undefined while it is being attached. */
  get kind (): 'local' | 'remote' | undefined { return this.#worker?.kind }

  /** did:key, where it was proved. */
  get operator (): string | undefined { return this.#operator }

  /** What the worker is attached with. */
  events (): WorkerEvents {
    return {
      outcomes: outcomes => { for (const outcome of outcomes) this.#outcome(outcome) },
      lost: reason => {
        if (this.#closed) return
        this.#closed = true
        this.#components.push({ type: 'lost', worker: this.id, reason })
      },
      suspect: reason => { if (!this.#closed) this.#components.push({ type: 'suspect', worker: this.id, reason }) },
      trusted: () => { if (!this.#closed) this.#components.push({ type: 'trusted', worker: this.id }) },
      slots: slots => { if (!this.#closed) this.#components.push({ type: 'slots', worker: this.id, slots }) }
    }
  }

  attach (worker: Worker, { asked, operator }: WorkerFacts = {}): void {
    this.#worker = worker
    this.#operator = operator
    if (this.#closed) void this.close()
    else this.#components.push({ type: 'joined', worker: this.id, kind: worker.kind, slots: worker.slots, ...(asked != null ? { asked } : {}) })
  }

  dispatch (refs: AttemptRef[]): void {
    const worker = this.#worker
    if (worker == null || this.#closed) return
    const made: Order[] = []
    let pending: Array<Promise<void>> | undefined
    for (const ref of refs) {
      const order = this.#components.order(this.#components.recipe(ref.block), ref.attempt, worker.kind)
      if (!(order instanceof Promise)) {
        made.push(order)
        continue
      }
      this.#unsent.add(ref)
      pending ??= []
      pending.push(order.then(ready => { if (this.#unsent.delete(ref) && !this.#closed) made.push(ready) }))
    }
    if (pending == null) worker.dispatch(made)
    else {
      Promise.all(pending).then(() => { if (!this.#closed && made.length > 0) worker.dispatch(made) }, (error: unknown) => {
        this.#components.push({ type: 'broken', error: toJobError(error, 'reading the input') })
      })
    }
  }

  cancel (refs: AttemptRef[]): void {
    const sent: AttemptRef[] = []
    for (const ref of refs) {
      if (!this.#unsent.delete(ref)) sent.push(ref)
      else this.#components.push({ type: 'failed', worker: this.id, block: ref.block, attempt: ref.attempt, reason: 'cancelled', message: 'cancelled before it was sent' })
    }
    if (sent.length > 0) this.#worker?.cancel(sent.map(({ block, attempt }) => ({ block, attempt })))
  }

  /** No fact comes of this worker any more. Never rejects. */
  close (): Promise<void> {
    this.#closed = true
    this.#unsent.clear()
    if (this.#worker == null) return Promise.resolve()
    this.#closing ??= this.#letGo(this.#worker)
    return this.#closing
  }

  async #letGo (worker: Worker): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.#components.warn(new Error(`not closed within ${CLOSE_MS_MAX} ms`), `closing worker ${this.id}`)
      late.resolve()
    }, CLOSE_MS_MAX)
    try {
      await Promise.race([worker.close(), late.promise])
    } catch (error) {
      this.#components.warn(error, `closing worker ${this.id}`)
    } finally {
      clearTimeout(timer)
    }
  }

  #outcome (outcome: AttemptOutcome): void {
    const { shelf, push, ownerOf } = this.#components
    const { block, attempt } = outcome
    // A peer speaks for its own attempts only, and not at all once it was let go.
    if (this.#closed || ownerOf(block, attempt) !== this.id) {
      if (outcome.ok) shelf.abandon(outcome)
      return
    }
    if (!outcome.ok) {
      this.#failure(outcome)
      return
    }
    const put = shelf.put(this.id, outcome)
    if (put == null) return
    const good: JobEventIn = { type: 'ok', worker: this.id, block, attempt, held: put.held, size: outcome.size, wallMs: outcome.wallMs }
    if (put.there === true) push(good)
    else {
      put.there.then(async there => {
        if (there) push(good)
        else {
          await shelf.discard(block, attempt)
          push({ type: 'failed', worker: this.id, block, attempt, reason: 'unavailable', message: 'the result was removed from the store while it arrived' })
        }
      }).catch((error: unknown) => { push({ type: 'broken', error: toJobError(error, 'the block store') }) })
    }
  }

  #failure (outcome: Extract<AttemptOutcome, { ok: false }>): void {
    const { block, attempt, reason, message, code, retryAfterMs } = outcome
    const { push, recipe, inputsUnchanged } = this.#components
    const details = atLine(outcome.details, recipe(block))
    const event: JobEventIn = { type: 'failed', worker: this.id, block, attempt, reason, message, code, details, retryAfterMs }
    if (!MAYBE_INPUT.has(reason)) push(event)
    else inputsUnchanged().then(() => { push(event) }, (error: unknown) => { push({ type: 'broken', error: toJobError(error) }) })
  }
}

/** An engine knows lines within its block only; the user wants those of the file. */
function atLine (details: Record<string, unknown> | undefined, recipe: BlockRecipe): Record<string, unknown> | undefined {
  const line = details?.lineInBlock
  return typeof line === 'number' ? { ...details, line: recipe.origin.line + line - 1 - headLines(recipe) } : details
}

/** Lines a block begins with that are not its own: the header each block of a text table is given. */
function headLines ({ parts }: BlockRecipe): number {
  const first = parts[0]
  if (first == null || !('bytes' in first)) return 0
  let lines = 0
  for (const byte of first.bytes) if (byte === 0x0a) lines++
  return lines
}
