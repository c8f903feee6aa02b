/** A job of blocks that last as long as they are told and use no CPU, followed through its requester's events. */
import { randomFillSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent, JobReport, JobRequest } from '../daemon/coordinator/index.ts'
import { followEvents } from '../test/fixtures/events.ts'
import type { TestnetNode } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'

/** Bytes per block: the least that tells one from another. */
const BLOCK_BYTES = 64

export interface Work {
  blocks: number
  /** Milliseconds each lasts. */
  blockMs: number
  /** Only these peers. @default all but the requester */
  nodes?: string[]
}

export interface Followed {
  report: JobReport
  events: JobEvent[]
  /** Milliseconds from the first order to the last result, by the requester's clock. */
  makespanMs: number
}

export type Requester = Pick<TestnetNode, 'api' | 'tokenFile'>

/** The request of a job of that work; its input is written into `folder`, its output beside it. */
export async function sleepJob (folder: string, { blocks, blockMs, nodes }: Work): Promise<JobRequest> {
  const input = join(folder, `sleep-${blocks}.bin`)
  await writeFile(input, randomFillSync(new Uint8Array(blocks * BLOCK_BYTES)))
  return {
    inputs: [input], from: 'application/octet-stream', to: 'application/x-weft-sleep', output: `${input}.out`, overwrite: true, place: 'remote',
    blockBytes: BLOCK_BYTES, settings: { milliseconds: String(blockMs) }, ...(nodes == null ? {} : { nodes })
  }
}

/** Runs a job to its end; `onEvent` sees each event as it arrives. Throws if the job fails. */
export async function follow (requester: Requester, request: JobRequest, onEvent: (event: JobEvent) => void = () => {}): Promise<Followed> {
  const stream = await followEvents(requester)
  const events: JobEvent[] = []
  const reading = (async () => {
    for await (const event of stream) {
      events.push(event)
      onEvent(event)
      if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
    }
  })()
  try {
    const report = await convert(requester, request)
    await reading
    return { report, events, makespanMs: makespanOf(events) }
  } finally {
    stream.close()
    await reading
  }
}

export function makespanOf (events: readonly JobEvent[]): number {
  const at = events.filter(event => event.type === 'block' && ['dispatched', 'done', 'hedged'].includes(event.change)).map(event => event.at)
  return at.length === 0 ? NaN : Math.max(...at) - Math.min(...at)
}
