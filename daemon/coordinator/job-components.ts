/** What a job is made of, and what it is made from. */
import type { Encoding, Input, Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { BlockStore, Journal } from '../store/index.ts'
import type { BlockRefs } from './block-refs.ts'
import type { Breakers } from './breaker.ts'
import type { Clock } from './clock.ts'
import type { Finding } from './distrusted-peers.ts'
import type { JobEvent, JobRequest, WorkerSource } from './index.ts'
import type { RecordWriter } from './record-writer.ts'
import type { JobSpec } from './spec.ts'

export interface JobComponents {
  toolbox: Toolbox
  blocks: Pick<BlockStore, 'sink' | 'get' | 'explained'>
  journal: Pick<Journal, 'append' | 'appendThen' | 'entries' | 'remove'>
  /** Of what must be on record. */
  records: Pick<RecordWriter, 'write'>
  refs: BlockRefs
  workers: WorkerSource
  log: Log
  clock: Clock
  emit: (event: JobEvent) => void
  /** Slots that may take part, for the size of blocks. */
  slots: () => number
  /** What this node counts prices in. */
  priceUnit: string
  /** Why a peer gets no work of this node. */
  distrusted: (peer: string, operator?: string) => string | undefined
  /** A peer gave a wrong result. */
  caught: (finding: Finding) => void
  /** Peers that failed repeatedly, by converter: what one job learned the next knows. */
  breakers: Breakers
  /** @default HEDGE_SHARE */
  hedgeShare?: number
  /** It runs in the process of one command. */
  foreground: boolean
}

export interface JobInit {
  spec: JobSpec
  request: JobRequest
  inputs: Input[]
  /** What the output is. */
  to: { mediaType: string, encoding?: Encoding }
  /** UTC milliseconds. */
  created: number
  /** An earlier run did not end it, and this one goes on. */
  resume?: JobResume
}

export interface JobResume {
  /** As in the record of the earlier run. */
  blockBytes?: number
  /** How often a start of the daemon began to go on with it without a result more, and how many results there are. */
  starts: number
  results: number
  /** Whether it may go on. Throws JobRefusedError or ConversionError. */
  allowed: () => Promise<void>
}
