/** The part of the job machine about results of an earlier run of the same job. */
import { Attempt } from './block-table.ts'
import type { JobState } from './job-state.ts'
import type { JobEventIn } from './machine-types.ts'

/** The block is done without being given out: its result is durable and entered already. */
export function onRestored (state: JobState, event: Extract<JobEventIn, { type: 'restored' }>): void {
  const block = state.blocks[event.block]
  if (state.phase !== 'running' || block?.state !== 'ready') return
  // There is something to let go of when the schema changes, though nothing was given out yet.
  state.begun = true
  const worker = state.workers.obtain(event.worker, event.kind)
  const attempt = new Attempt(block.index, block.attempts.length + 1, worker, state.epoch, state.now)
  attempt.open = false
  block.attempts.push(attempt)
  block.result = attempt
  block.by = worker
  block.held = event.held
  block.outputBytes = event.size
  block.units = event.units
  block.wallMs = event.wallMs
  block.checked = event.checked
  worker.accepted++
  worker.wallMs += event.wallMs
  block.state = 'done'
  state.tally.restored(block)
  // It waits for nobody any more: with all blocks done there need be no worker.
  state.queue.trim()
  state.blockNews(block.index, attempt.attempt, worker.id, 'restored')
}
