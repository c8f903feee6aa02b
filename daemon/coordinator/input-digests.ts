/** Digests of a job's inputs, for its report. */
import type { Input, Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'

export class InputDigests {
  /** In the order of the inputs; undefined where it is not known (yet). */
  readonly digests: Array<Uint8Array | undefined>
  readonly #inputs: Input[]

  constructor (inputs: Input[]) {
    this.#inputs = inputs
    this.digests = inputs.map(() => undefined)
  }

  /** One after the other: they take one thread of the toolbox at most. Never rejects. */
  async take (toolbox: Pick<Toolbox, 'hash'>, log: Log, over: () => boolean): Promise<void> {
    for (const [i, { path }] of this.#inputs.entries()) {
      if (over()) return
      try {
        this.digests[i] = (await toolbox.hash(path)).digest
      } catch (error) {
        // An input that cannot be read fails the job where it is needed; here only a field of the report is missing.
        log.debug({ error, path }, 'no digest of the input')
      }
    }
  }
}
