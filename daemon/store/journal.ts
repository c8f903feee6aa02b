/**
 * An append-only log in one sub-level of the database, with adaptive group commit: an entry that finds the disk idle is
 * committed in the same tick, one that comes while a commit is under way waits for the next, so that latency stays at one
 * synced write and throughput grows with the load.
 *
 * What is durable is a prefix of what was appended, up to a commit that failed: with it fails everything that waits, so that no entry outlives one it
 * may depend on. Whoever appends after that, knowing of the failure, begins anew: the database mends itself before it writes again (guarded-level.ts). An
 * entry that failed may be there all the same after a restart, if only its sync failed.
 */
import { COMMIT_BYTES_MAX, COMMIT_ENTRIES_MAX, JOURNAL_QUEUE_MAX } from './constants.ts'
import type { GuardedLevel } from './guarded-level.ts'
import type { Journal } from './index.ts'

/** What a journal needs of its database. */
export type JournalDatabase = Pick<GuardedLevel, 'batch' | 'iterator' | 'usable'>

type Done = (error?: Error) => void
type Operation = { type: 'put', key: string, value: Uint8Array } | { type: 'del', key: string }

/** Why so many bytes should not be written; undefined if they may be. */
export type Room = (bytes: number) => Error | undefined

/** @param room - asked for every entry of `appendThen`. @default there is always room */
export function openJournal (db: JournalDatabase, name: string, room: Room = () => undefined): Journal {
  return new LevelJournal(db, name, room)
}

const settle = (resolve: () => void, reject: (error: Error) => void): Done => error => {
  if (error == null) resolve()
  else reject(error)
}

class LevelJournal implements Journal {
  readonly #db: JournalDatabase
  /** Keys carry the prefix themselves: a sub-level object would re-encode each one on the hot path. */
  readonly #prefix: string
  readonly #room: Room
  #queue: Operation[] = []
  #dones: Array<Done | undefined> = []
  #committing = false
  #scheduled = false
  #closed = false
  /** A commit failed in this turn of the event loop: who appends now cannot have been told yet. */
  #failure: Error | undefined
  #failures = 0
  #commits = 0
  #entries = 0
  #slowestMs = 0
  #idle: Array<() => void> = []

  constructor (db: JournalDatabase, name: string, room: Room) {
    this.#db = db
    this.#room = room
    this.#prefix = `journal/${name}/`
  }

  append (key: Uint8Array | string, value: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#enqueue({ type: 'put', key: this.#key(key), value: Uint8Array.prototype.slice.call(value) }, settle(resolve, reject))
    })
  }

  appendThen (key: Uint8Array | string, value: Uint8Array, done: Done): void {
    const refusal = this.#room(value.byteLength)
    if (refusal == null) this.#enqueue({ type: 'put', key: this.#key(key), value }, done)
    else queueMicrotask(() => { done(refusal) })
  }

  remove (key: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#enqueue({ type: 'del', key: this.#key(key) }, settle(resolve, reject))
    })
  }

  async * entries (prefix: string): AsyncIterable<[string, Uint8Array]> {
    const from = this.#prefix + prefix
    await this.#db.usable()
    for await (const [key, value] of this.#db.iterator({ gte: from, lt: from + '\uffff' })) {
      yield [key.slice(this.#prefix.length), value]
    }
  }

  stats (): { commits: number, entries: number, slowestMs: number, failures: number } {
    return { commits: this.#commits, entries: this.#entries, slowestMs: this.#slowestMs, failures: this.#failures }
  }

  async close (): Promise<void> {
    this.#closed = true
    if (this.#committing || this.#queue.length > 0) await new Promise<void>(resolve => { this.#idle.push(resolve) })
  }

  #key (key: Uint8Array | string): string {
    return this.#prefix + (typeof key === 'string' ? key : Buffer.from(key).toString('hex'))
  }

  #enqueue (operation: Operation, done: Done): void {
    const refusal = this.#closed
      ? new Error('the journal is closed')
      : this.#failure ?? (this.#queue.length >= JOURNAL_QUEUE_MAX ? new Error(`more than ${JOURNAL_QUEUE_MAX} journal entries wait for a commit`) : undefined)
    if (refusal != null) {
      queueMicrotask(() => { done(refusal) })
      return
    }
    this.#queue.push(operation)
    this.#dones.push(done)
    if (!this.#committing && !this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(() => {
        this.#scheduled = false
        this.#commit()
      })
    }
  }

  #commit (): void {
    if (this.#committing || this.#queue.length === 0) return
    this.#committing = true
    let operations = this.#queue
    let dones = this.#dones
    let bytes = 0
    let count = 0
    while (count < operations.length && count < COMMIT_ENTRIES_MAX && bytes < COMMIT_BYTES_MAX) {
      const operation = operations[count++] as Operation
      bytes += operation.key.length + (operation.type === 'put' ? operation.value.byteLength : 0)
    }
    if (count < operations.length) {
      this.#queue = operations.slice(count)
      this.#dones = dones.slice(count)
      operations = operations.slice(0, count)
      dones = dones.slice(0, count)
    } else {
      this.#queue = []
      this.#dones = []
    }
    const started = performance.now()
    const settled = (error?: Error): void => {
      this.#committing = false
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - started)
      if (error == null) {
        this.#commits++
        this.#entries += operations.length
        for (const done of dones) done?.()
      } else {
        this.#fail(error, dones)
      }
      if (this.#queue.length > 0) this.#commit()
      else for (const wake of this.#idle.splice(0)) wake()
    }
    this.#db.batch(operations as never, { sync: true } as never).then(() => { settled() }, (error: unknown) => { settled(error as Error) })
  }

  /** In the order they were appended: those of the commit, then those that waited. */
  #fail (error: Error, dones: Array<Done | undefined>): void {
    this.#failures++
    this.#failure = error
    // Handlers of promises run before this, so that what is appended from then on was appended knowingly.
    setImmediate(() => { this.#failure = undefined })
    const waiting = this.#dones
    this.#queue = []
    this.#dones = []
    for (const done of dones) done?.(error)
    for (const done of waiting) done?.(error)
  }
}
