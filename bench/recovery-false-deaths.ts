/**
 * Nobody dies here: four nodes convert tables for minutes on end, with more engines than cores, and the main loop of one of them stands still for two of every
 * ten seconds. Every worker that a requester doubts or gives up is counted.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent } from '../daemon/coordinator/index.ts'
import { writeCsv } from '../test/fixtures/csv.ts'
import { followEvents } from '../test/fixtures/events.ts'
import { startTestnet, type TestnetNode } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'

/** Bytes of a job's input and of its blocks: some seconds of work for both cores. */
const INPUT_BYTES = 24_000_000
const BLOCK_BYTES = 1_000_000
const STALLED = 'n3'
const STALL_MS = 2000
const STALL_EVERY_MS = 10_000

export interface FalseDeaths {
  deaths: number
  doubts: number
  /** What was said of the first ones. */
  reasons: string[]
  jobs: number
  blocks: number
  redone: number
  minutes: number
  /** How often the one's main loop stood still. */
  stalls: number
}

/** Events that say so, in the first reports only. */
const REASONS_MAX = 20

export async function falseDeaths ({ minutes, seed, log }: { minutes: number, seed: number, log: (line: string) => void }): Promise<FalseDeaths> {
  const testnet = await startTestnet({
    nodes: 4,
    seed,
    profile: { nodes: Array.from({ length: 4 }, () => ({ cores: 2 })) },
    env: { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'stall-loop.mjs')}`, WEFT_BENCH_STALL: `${STALLED} ${STALL_MS} ${STALL_EVERY_MS}` }
  })
  const found: FalseDeaths = { deaths: 0, doubts: 0, reasons: [], jobs: 0, blocks: 0, redone: 0, minutes, stalls: 0 }
  const nameOf = (peer: string): string => testnet.nodes.find(({ peerId }) => peerId === peer)?.name ?? peer
  const note = (requester: string, event: JobEvent): void => {
    if (event.type !== 'worker' || !['lost', 'suspect'].includes(event.change)) return
    if (event.change === 'lost') found.deaths++
    else found.doubts++
    const line = `${requester} ${event.change === 'lost' ? 'gave up' : 'doubted'} ${nameOf(event.peer)}: ${event.reason ?? 'no reason given'}`
    if (found.reasons.length < REASONS_MAX) found.reasons.push(line)
    log(line)
  }
  const input = join(testnet.dir, 'input.csv')
  writeCsv(input, INPUT_BYTES, seed)
  const until = performance.now() + minutes * 60_000
  const keepBusy = async (node: TestnetNode): Promise<void> => {
    const output = join(testnet.dir, `${node.name}.parquet`)
    while (performance.now() < until) {
      const { blocks } = await convert(node, { inputs: [input], to: 'parquet', output, overwrite: true, place: 'any', blockBytes: BLOCK_BYTES })
      found.jobs++
      found.blocks += blocks.total
      found.redone += blocks.redispatched + blocks.hedged
    }
    await rm(output, { force: true })
  }
  try {
    // The stalled one asks, too: whoever doubts others while it stands still itself is counted.
    const requesters = [testnet.node('n0'), testnet.node(STALLED)]
    const streams = await Promise.all(requesters.map(async node => ({ node, stream: await followEvents(node) })))
    const reading = streams.map(async ({ node, stream }) => { for await (const event of stream) note(node.name, event) })
    try {
      await Promise.all(requesters.map(keepBusy))
    } finally {
      for (const { stream } of streams) stream.close()
      await Promise.all(reading)
    }
    found.stalls = (await readFile(testnet.node(STALLED).log, 'utf8')).split('\n').filter(line => line.startsWith('stall ')).length
    if (found.stalls === 0 && minutes * 60_000 > 2 * STALL_EVERY_MS) throw new Error(`${STALLED} never stood still: nothing was measured`)
    log(`${found.jobs} jobs of ${found.blocks} blocks in ${minutes} minutes: ${found.deaths} false deaths, ${found.doubts} doubts, ${found.redone} orders more than blocks`)
    return found
  } finally {
    await testnet.down()
  }
}
