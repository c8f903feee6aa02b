/** What the tests of the coordinator share. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JobReport, JobRequest, WorkerSource } from '../../../daemon/coordinator/index.ts'
import type { Toolbox } from '../../../daemon/block-convert/index.ts'
import type { Offer, Worker, WorkerEvents } from '../../../daemon/task-protocol/index.ts'
import { bench, result, ScriptedWorker, type Bench, type Work } from './fakes.ts'

export type MakeLocal = (offer: Offer, events: WorkerEvents) => Worker

/** Workers by name; each answers as its script says. */
export function scripted (scripts: Record<string, Work>, slots = 2, workers: ScriptedWorker[] = []): () => WorkerSource {
  return () => ({
    async workers (offer, _edge, _request, sink) {
      for (const [id, work] of Object.entries(scripts)) {
        const worker = new ScriptedWorker(id, slots, offer, sink.events(id), work)
        workers.push(worker)
        sink.found(worker)
      }
      sink.settled(Object.keys(scripts).length)
    }
  })
}

export const copy: Work = async (_order, input) => result(input)
export const never: Work = () => new Promise(() => {})

/** Keys of results in the journal. */
export async function entries (on: Bench): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of on.dir.journal('jobs').entries('blk/')) keys.push(key)
  return keys
}

export interface Suite {
  /** The folder of the test that runs. */
  readonly root: string
  start: (makeSource?: (local: MakeLocal) => WorkerSource, toolbox?: Toolbox) => Promise<Bench>
  /** Closed after the test, like those that `start` made. */
  keep: (made: Bench) => void
  run: (on: Bench, request: Partial<JobRequest> & { inputs: string[] }) => Promise<JobReport>
  /** What is there beside `data` and what the test put there. */
  leftOvers: (...known: string[]) => Promise<string[]>
}

/** A folder and coordinators for each test of a `describe`. */
export function coordinatorSuite (): Suite {
  let root = ''
  let open: Bench[] = []
  beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'weft-coordinator-')) })
  afterEach(async () => {
    for (const made of open) await made.close()
    open = []
    await rm(root, { recursive: true, force: true })
  })
  return {
    get root () { return root },
    async start (makeSource, toolbox) {
      const made = await bench(root, makeSource, toolbox)
      open.push(made)
      return made
    },
    keep (made) { open.push(made) },
    run: async (on, request) => await (await on.coordinator.submit({ to: 'copy', output: on.path('out.copy'), blockBytes: 100_000, ...request })).done,
    leftOvers: async (...known) => (await readdir(root)).filter(name => name !== 'data' && !known.includes(name)).sort()
  }
}
