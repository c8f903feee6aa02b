/** What a requester keeps: journal and block store with synced and unsynced state, and the files of its outputs. */
import type { Life, World } from './world.ts'

export interface DiskProfile {
  /** Longest time until a write is durable, milliseconds. */
  syncMs: number
}

/** One piece of an output. */
export interface Piece { block: number, attempt: number, value: Value, worker: string, epoch: number }

/** What a result is worth: right; obviously broken; or plausible and wrong, which only a comparison finds. */
export type Value = 'good' | 'garbage' | 'subtle'

export interface OutputFile {
  partial: Piece[] | undefined
  final: Piece[] | undefined
}

export type JobRecord = { phase: 'running' | 'renaming' } | { phase: 'ended', state: string, code?: string }

export class Disk {
  readonly #world: World
  readonly #profile: DiskProfile
  /** Durable entries. */
  readonly journal = new Map<string, unknown>()
  /** Durable blocks. */
  readonly blocks = new Set<string>()
  readonly outputs = new Map<string, OutputFile>()
  #queue: Array<{ key: string, value: unknown, life: Life, done: () => void }> = []
  #committing = false

  constructor (world: World, profile: DiskProfile) {
    this.#world = world
    this.#profile = profile
  }

  output (job: string): OutputFile {
    let file = this.outputs.get(job)
    if (file == null) {
      file = { partial: undefined, final: undefined }
      this.outputs.set(job, file)
    }
    return file
  }

  /** Appends in order, many per commit; undefined removes. Lost if the life ends before. */
  append (key: string, value: unknown, life: Life, done: () => void): void {
    this.#queue.push({ key, value, life, done })
    this.#commit()
  }

  store (key: string, life: Life, done: () => void): void {
    this.#world.after(this.#world.random.between(0.1, this.#profile.syncMs), life, '', () => {
      this.blocks.add(key)
      done()
    })
  }

  /** What was not synced is gone. */
  crash (): void {
    this.#queue = []
    this.#committing = false
  }

  #commit (): void {
    if (this.#committing || this.#queue.length === 0) return
    this.#committing = true
    const batch = this.#queue
    this.#queue = []
    const life = (batch[0] as { life: Life }).life
    this.#world.after(this.#world.random.between(0.1, this.#profile.syncMs), life, '', () => {
      this.#committing = false
      for (const { key, value } of batch) {
        if (value === undefined) this.journal.delete(key)
        else this.journal.set(key, value)
      }
      for (const { done } of batch) done()
      this.#commit()
    })
  }
}
