/**
 * What a requester keeps: journal and block store with synced and unsynced state, and the files of its outputs. A commit is a batch: after a
 * crash all of it is there or nothing. One that was under way may have become durable without anybody having been told. For a while the disk
 * may be full: commits and blocks fail, and what waits fails with them; of a batch that failed all may be there after a restart, or nothing.
 */
import type { Host } from './host.ts'
import type { Life, World } from './world.ts'

export interface DiskProfile {
  /** Longest time until a write is durable, milliseconds. */
  syncMs: number
}

/** One piece of an output. */
export interface Piece { block: number, attempt: number, value: Value, worker: string, epoch: number, content: string }

/** What a result is worth: right; obviously broken; or plausible and wrong, which only a comparison finds. */
export type Value = 'good' | 'garbage' | 'subtle'

export interface OutputFile {
  partial: Piece[] | undefined
  final: Piece[] | undefined
}

export type JobRecord = { phase: 'running' | 'renaming', epochs?: number } | { phase: 'ended', state: string, code?: string }

/** What the journal says of a block's result. `content` stands for the digest. */
export interface BlockEntry {
  block: number
  attempt: number
  content: string
  worker: string
  epoch: number
  value: Value
  held: 'inline' | 'durable'
  checked: boolean
}

interface Write { key: string, value: unknown, life: Life, done: (failed?: boolean) => void }

export class Disk {
  readonly #world: World
  readonly #profile: DiskProfile
  readonly #host: Host
  /** Durable entries. */
  readonly journal = new Map<string, unknown>()
  /** Durable blocks: whether they are as they were written. */
  readonly blocks = new Map<string, 'intact' | 'flipped'>()
  readonly outputs = new Map<string, OutputFile>()
  /** Full, or failing, until then. */
  failsUntil = -Infinity
  /** So much slower until then. */
  slowness = 1
  slowUntil = 0
  /** Of commits that failed: what may be there all the same after a restart, as only its sync failed. */
  readonly #ghosts = new Map<string, unknown>()
  #queue: Write[] = []
  #under: Write[] = []

  constructor (world: World, host: Host, profile: DiskProfile) {
    this.#world = world
    this.#host = host
    this.#profile = profile
  }

  get idle (): boolean { return this.#queue.length === 0 && this.#under.length === 0 }

  get failing (): boolean { return this.#world.now < this.failsUntil }

  output (job: string): OutputFile {
    let file = this.outputs.get(job)
    if (file == null) {
      file = { partial: undefined, final: undefined }
      this.outputs.set(job, file)
    }
    return file
  }

  /** Appends in order, many per commit; undefined removes. Lost if the life ends before. */
  append (key: string, value: unknown, done: (failed?: boolean) => void): void {
    this.#queue.push({ key, value, life: this.#host.life, done })
    this.#commit()
  }

  store (key: string, done: (failed?: boolean) => void): void {
    const { life } = this.#host
    const failed = this.failing
    this.#world.after(this.#syncMs(), undefined, '', () => {
      // The disk does its work whether or not the process still lives; before it ended, nothing refers to the block.
      if (life.over && this.#world.random.chance(0.5)) return
      if (!failed) this.blocks.set(key, 'intact')
      this.#world.after(0, life, '', () => { done(failed) })
    })
  }

  /** Removes all entries and blocks of these keys. */
  clear (prefix: string): void {
    for (const key of this.blocks.keys()) if (key.startsWith(prefix)) this.blocks.delete(key)
    for (const key of this.journal.keys()) if (key.startsWith(prefix)) this.append(key, undefined, () => {})
  }

  /** What was not synced is gone; of the commit under way all became durable, or nothing. */
  crash (): void {
    if (this.#under.length > 0 && !this.failing && this.#world.random.chance(0.5)) this.#apply(this.#under)
    this.#queue = []
    this.#under = []
    for (const [key, value] of this.#ghosts) this.#apply([{ key, value }])
    this.#ghosts.clear()
  }

  /** One block that is kept is not what was written any more. Gives its name. */
  flipOne (): string | undefined {
    const kept = [...this.blocks.keys()]
    if (kept.length === 0) return undefined
    const key = this.#world.random.pick(kept)
    this.blocks.set(key, 'flipped')
    return key
  }

  #syncMs (): number {
    return this.#world.random.between(0.1, this.#profile.syncMs) * (this.#world.now < this.slowUntil ? this.slowness : 1)
  }

  #apply (batch: Array<Pick<Write, 'key' | 'value'>>): void {
    for (const { key, value } of batch) {
      this.#ghosts.delete(key)
      if (value === undefined) this.journal.delete(key)
      else this.journal.set(key, value)
    }
  }

  #commit (): void {
    if (this.#under.length > 0 || this.#queue.length === 0) return
    const batch = this.#queue
    this.#under = batch
    this.#queue = []
    const { life } = batch[0] as Write
    const failed = this.failing
    this.#world.after(this.#syncMs(), undefined, '', () => {
      if (this.#under !== batch) return
      this.#under = []
      let told = batch
      if (!failed) this.#apply(batch)
      else {
        if (this.#world.random.chance(0.3)) for (const { key, value } of batch) this.#ghosts.set(key, value)
        // What waits fails with it: it may depend on what is not there.
        told = [...batch, ...this.#queue]
        this.#queue = []
      }
      this.#world.after(0, life, '', () => { for (const { done } of told) done(failed) })
      this.#commit()
    })
  }
}
