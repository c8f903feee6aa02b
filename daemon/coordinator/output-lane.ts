/** Carries out what the machine orders about the output, one after the other, and turns each end into a fact. */
import { checkUnchanged, type BlockSource, type Conversion, type Input, type OutputWriter } from '../block-convert/index.ts'
import { conversionCode, readsOneOf, saidBy, toJobError, toOutputError } from './job-errors.ts'
import type { JobError } from './index.ts'
import type { AttemptRef, JobEventIn } from './machine-types.ts'
import type { Result, ResultShelf } from './result-shelf.ts'

export interface OutputLaneComponents {
  writer: OutputWriter
  /** As described: what must be unchanged at the end. */
  inputs: Input[]
  output: string
  shelf: ResultShelf
  push: (event: JobEventIn) => void
  warn: (error: unknown, message: string) => void
}

export class OutputLane {
  readonly #components: OutputLaneComponents
  #tail: Promise<void> = Promise.resolve()
  /** Nothing but the abort is worth doing any more. */
  #over = false
  /** Numbers the runs of the merge, as the machine does; known here as soon as a new one is ordered, not when its turn comes. */
  #epoch = 0
  /** The output is at its final name. */
  renamed = false
  written: { size: number, digest: Uint8Array } | undefined
  mergeMs = 0
  checkMs = 0

  constructor (components: OutputLaneComponents) {
    this.#components = components
  }

  merge (epoch: number, refs: AttemptRef[]): void {
    const { writer, shelf, push, warn } = this.#components
    this.#do(async () => {
      // A block of this run was found wrong: what it would write is thrown away, and some of its parts are gone already.
      if (epoch !== this.#epoch) return
      const started = performance.now()
      try {
        const { results, sources } = await this.#parts(refs)
        await writer.add(sources).catch((error: unknown) => { throw readsOneOf(error, sources) ? new PartFailure(error) : error })
        if (epoch !== this.#epoch) return
        for (const result of results) shelf.merged(result)
      } catch (error) {
        if (epoch !== this.#epoch) {
          // The reset that follows throws away what it wrote; that a part vanished under it is what the withdrawal meant.
          warn(error, 'a merge failed that was to begin again anyway')
          return
        }
        throw error
      } finally {
        this.mergeMs += performance.now() - started
      }
      push({ type: 'merged', epoch, upTo: (refs.at(-1) as AttemptRef).block + 1 })
    })
  }

  /** Where the results are. Fails as a part's failure, never as the output's. */
  async #parts (refs: AttemptRef[]): Promise<{ results: Result[], sources: BlockSource[] }> {
    const { shelf } = this.#components
    try {
      const results = refs.map(({ block, attempt }) => shelf.get(block, attempt))
      const sources = results.map(result => shelf.sourceNow(result) ?? shelf.source(result))
      return { results, sources: sources.some(source => source instanceof Promise) ? await Promise.all(sources) : sources as BlockSource[] }
    } catch (error) {
      throw new PartFailure(error)
    }
  }

  /** Begins again, under this conversion from now on. */
  reset (epoch: number, conversion: Conversion): void {
    this.#epoch = epoch
    this.#do(async () => {
      // The next one is ordered already.
      if (epoch !== this.#epoch) return
      await this.#components.writer.reset(conversion)
      this.#components.push({ type: 'merge-reset', epoch })
    })
  }

  /** Ends the output, unless an input changed since the job was described. */
  finish (expected: () => { units?: number, blocks: number }): void {
    const { writer, inputs, push } = this.#components
    this.#do(async () => {
      await checkUnchanged(inputs)
      const started = performance.now()
      const { size, digest } = await writer.finish(expected()).catch((error: unknown) => { throw new WholeCheckFailure(error) })
      this.written = { size, digest }
      this.checkMs += performance.now() - started
      push({ type: 'finished' })
    })
  }

  /** `announce` makes it known durably that the output may be at its final name. */
  rename (announce: () => Promise<void>): void {
    this.#do(async () => {
      await announce()
      await this.#components.writer.commit()
      this.renamed = true
      this.#components.push({ type: 'renamed' })
    }, 'rename-failed')
  }

  /** Resolves, never rejects, when what there was of the output is removed. */
  abort (): Promise<void> {
    this.#over = true
    const aborted = this.#tail.then(async () => {
      try {
        await this.#components.writer.abort()
      } finally {
        this.#components.push({ type: 'aborted' })
      }
    })
    this.#tail = aborted.catch((error: unknown) => { this.#components.warn(error, 'removing the partial output') })
    return this.#tail
  }

  #do (task: () => Promise<void>, failure: 'broken' | 'rename-failed' = 'broken'): void {
    this.#tail = this.#tail.then(async () => {
      if (this.#over) return
      try {
        await task()
      } catch (error) {
        this.#over = true
        this.#components.push({ type: failure, error: this.#told(error) })
      }
    })
  }

  #told (error: unknown): JobError {
    // A converted block could not be read: neither the output nor an input is at fault.
    if (error instanceof PartFailure) return { code: 'failed', message: `reading a converted block: ${saidBy(error.cause)}` }
    const cause = error instanceof WholeCheckFailure ? error.cause : error
    if (error instanceof WholeCheckFailure && conversionCode(cause) === 'bad-input') {
      return { ...toJobError(cause), code: 'check-failed' }
    }
    return conversionCode(cause) != null ? toJobError(cause) : toOutputError(cause, this.#components.output)
  }
}

/** `finish` failed: of the converter's errors, `bad-input` there speaks of the output, not of an input. */
class WholeCheckFailure extends Error {
  constructor (cause: unknown) {
    super('the whole output', { cause })
  }
}

/** A result could not be read. */
class PartFailure extends Error {
  constructor (cause: unknown) {
    super('a part', { cause })
  }
}
