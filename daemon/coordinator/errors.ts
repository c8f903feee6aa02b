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

/** The journal of jobs was written by a later build. Nothing of it is touched: what this one does not know it must not remove. */
export class NewerJournalError extends Error {
  static override readonly name = 'NewerJournalError'
  override readonly name = 'NewerJournalError'

  constructor (what: string, version: number, known: number) {
    super(`the journal of jobs holds a ${what} of version ${version}, and this build reads up to ${known}: use a newer weft, or another data directory with WEFT_HOME`)
  }
}
