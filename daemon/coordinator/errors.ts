import type { JobError } from './index.ts'

/** The job was refused before it began; `error` is what the user is told. */
export class JobRefusedError extends Error {
  static override readonly name = 'JobRefusedError'
  override readonly name = 'JobRefusedError'
  readonly error: JobError

  constructor (error: JobError) {
    super(error.message)
    this.error = error
  }
}
