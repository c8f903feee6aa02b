/**
 * Entries that must be in the journal sooner or later, whatever the disk says now: how a job ended, since the next start would go on with it unasked,
 * and who gave a wrong result. What cannot be written is tried again until it is; of each key only the newest counts.
 */
import type { Log } from '../log.ts'
import type { Journal } from '../store/index.ts'
import { RECORD_RETRY_MS } from './constants.ts'

export interface RecordWriterComponents {
  journal: Pick<Journal, 'append'>
  log: Log
  /** @default RECORD_RETRY_MS */
  retryMs?: number
}

export class RecordWriter {
  readonly #components: RecordWriterComponents
  /** By key. One for each job that ended since the disk was full, at most: HISTORY_MAX of them are remembered. */
  readonly #pending = new Map<string, Uint8Array>()
  #timer: NodeJS.Timeout | undefined
  #trying: Promise<void> = Promise.resolve()
  #stopped = false

  constructor (components: RecordWriterComponents) {
    this.#components = components
  }

  /** How many could not be written so far. */
  get pending (): number { return this.#pending.size }

  /** Resolves, never rejects: to true once it is durable, to false if that failed and is tried again from now on. */
  async write (key: string, value: Uint8Array): Promise<boolean> {
    const { journal, log } = this.#components
    this.#pending.set(key, value)
    try {
      await journal.append(key, value)
      this.#done(key, value)
      return true
    } catch (error) {
      log.error({ error, key }, 'a record could not be written; it is tried again until it is')
      this.#arm()
      return false
    }
  }

  /** Somebody else writes or removes this key from now on. */
  forget (key: string): void {
    this.#pending.delete(key)
  }

  /** Tries once more, and no more after that. */
  async stop (): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#trying
    await this.#retry()
    if (this.#pending.size > 0) this.#components.log.error({ keys: [...this.#pending.keys()] }, 'records were not written: the next start goes on with what ended')
  }

  /** Unless a newer one came meanwhile. */
  #done (key: string, value: Uint8Array): void {
    if (this.#pending.get(key) === value) this.#pending.delete(key)
  }

  #arm (): void {
    if (this.#stopped) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#trying = this.#retry().then(() => { if (this.#pending.size > 0) this.#arm() })
    }, this.#components.retryMs ?? RECORD_RETRY_MS)
    this.#timer.unref()
  }

  /** One after the other, up to the first that fails: the others would fail with it. */
  async #retry (): Promise<void> {
    const { journal, log } = this.#components
    for (const [key, value] of this.#pending) {
      // Forgotten, or written anew, while another one was written.
      if (this.#pending.get(key) !== value) continue
      try {
        await journal.append(key, value)
      } catch {
        // That it cannot be written was said when it was tried first.
        return
      }
      this.#done(key, value)
      log.info({ key }, 'a record was written after all')
    }
  }
}
