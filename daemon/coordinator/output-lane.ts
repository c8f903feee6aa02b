/** Carries out what the machine orders about the output, one after the other, and turns each end into a fact. */
import { checkUnchanged, type Input, type OutputWriter } from '../block-convert/index.ts'
import { conversionCode, toJobError, toOutputError } from './job-errors.ts'
import type { AttemptRef, JobEventIn } from './machine-types.ts'
import type { ResultShelf } from './result-shelf.ts'

export interface OutputLaneComponents {
  writer: OutputWriter
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
  written: { size: number, digest: Uint8Array } | undefined
  mergeMs = 0
  checkMs = 0

  constructor (components: OutputLaneComponents) {
    this.#components = components
  }

  merge (epoch: number, refs: AttemptRef[]): void {
    const { writer, shelf, push } = this.#components
    this.#do(async () => {
      const started = performance.now()
      const results = refs.map(({ block, attempt }) => shelf.get(block, attempt))
      const sources = results.map(result => shelf.sourceNow(result) ?? shelf.source(result))
      await writer.add(sources.some(source => source instanceof Promise) ? await Promise.all(sources) : sources as Array<Awaited<typeof sources[0]>>)
      for (const result of results) shelf.merged(result)
      this.mergeMs += performance.now() - started
      push({ type: 'merged', epoch, upTo: (refs.at(-1) as AttemptRef).block + 1 })
    })
  }

  reset (epoch: number): void {
    this.#do(async () => {
      await this.#components.writer.reset()
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
      this.#components.push({ type: 'renamed' })
    }, 'rename-failed')
  }

  abort (): void {
    this.#over = true
    const aborted = this.#tail.then(async () => {
      try {
        await this.#components.writer.abort()
      } finally {
        this.#components.push({ type: 'aborted' })
      }
    })
    this.#tail = aborted.catch((error: unknown) => { this.#components.warn(error, 'removing the partial output') })
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

  #told (error: unknown) {
    const cause = error instanceof WholeCheckFailure ? error.cause : error
    if (error instanceof WholeCheckFailure && conversionCode(cause) === 'bad-input') {
      return { ...toJobError(cause), code: 'check-failed' as const }
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
