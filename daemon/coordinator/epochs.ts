/** The part of the job machine about changes of the schema: what was done under an older one is done again. */
import type { Attempts } from './attempts.ts'
import type { Block } from './block-table.ts'
import { EPOCHS_BEFORE_PROOF } from './constants.ts'
import type { JobState } from './job-state.ts'
import type { WorkerEntry } from './worker-table.ts'

export class Epochs {
  readonly #state: JobState
  readonly #attempts: Attempts

  constructor (state: JobState, attempts: Attempts) {
    this.#state = state
    this.#attempts = attempts
  }

  /**
   * All blocks known so far are superseded: attempts are cancelled, results let go, and the output begins again. Whatever still comes of
   * an attempt made before finds its number too old (`Results.onOk`), or its result gone.
   */
  onWidened (epoch: number): void {
    const { phase, tally, merge, out } = this.#state
    if (phase !== 'running' || epoch <= this.#state.epoch) return
    const redone = this.#state.begun ? this.#supersedeAll() : 0
    tally.redone += redone
    this.#state.epoch = epoch
    this.#state.begun = false
    // Also where nothing was merged yet: the output was opened under the old schema.
    merge.restart()
    out.other({ type: 'reset-merge', epoch: merge.epoch })
    // Once nothing is given out any more there may be thousands of changes, none of which costs anything; the notes tell of them.
    if (epoch > EPOCHS_BEFORE_PROOF) return
    out.news({ type: 'plan', message: `a value contradicts the types so far: the schema was widened (change ${epoch}), ${redone} ${redone === 1 ? 'block is' : 'blocks are'} converted again` })
    if (epoch === EPOCHS_BEFORE_PROOF) out.news({ type: 'plan', message: `the schema changed ${epoch} times: the rest of the input is read before more blocks are converted` })
  }

  /** Gives how many had been given out under the schema as it was. */
  #supersedeAll (): number {
    let given = 0
    for (const block of this.#state.blocks) {
      if (block.attempts.at(-1)?.epoch === this.#state.epoch) given++
      this.#supersede(block)
    }
    return given
  }

  #supersede (block: Block): void {
    const { drawn, checked, state } = block
    const worker = block.by as WorkerEntry
    if (block.result != null) {
      this.#state.withdraw(block)
      // Drawn and never compared: the worker has not been looked at by this.
      if (drawn && !checked) worker.drawn--
    }
    this.#attempts.callOff(block, 'types changed since')
    block.renew()
    // Those that were not given out yet wait already.
    if (state !== 'ready') this.#state.queue.putBack(block)
  }
}
