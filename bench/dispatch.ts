/**
 * Small blocks between two daemon processes, as real jobs: order, digest, receipt, journal, check, merge. 64 in flight for the
 * rate; one in flight for the round trip, from order to result, and the same from order to durable with the commit awaited.
 */
import { randomFillSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startTestnet } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'

const BLOCK_BYTES = 200
const BLOCKS = 200_000
const SERIAL_BLOCKS = 5_000
const IN_FLIGHT = 64
const SEED = 11

export async function run ({ runs, log }: BenchOptions): Promise<Record<string, Figure>> {
  const testnet = await startTestnet({ nodes: 2, seed: SEED })
  try {
    const many = join(testnet.dir, 'many.bin')
    const few = join(testnet.dir, 'few.bin')
    await writeFile(many, randomFillSync(new Uint8Array(BLOCKS * BLOCK_BYTES)))
    await writeFile(few, randomFillSync(new Uint8Array(SERIAL_BLOCKS * BLOCK_BYTES)))
    const job = async (input: string, inFlight: number, awaitCommit = false): ReturnType<typeof convert> => await convert(testnet.node('n0'), {
      inputs: [input], from: 'application/octet-stream', to: 'application/x-weft-noop', output: `${input}.noop`, overwrite: true, place: 'remote', blockBytes: BLOCK_BYTES, inFlight, awaitCommit
    })
    const perSecond: number[] = []
    const p50: number[] = []
    const p99: number[] = []
    const durable: number[] = []
    for (let i = 0; i <= runs; i++) {
      const rate = (await job(many, IN_FLIGHT)).timing
      const serial = (await job(few, 1)).timing
      const awaited = (await job(few, 1, true)).timing.durableMsP50 ?? NaN
      log(`${i === 0 ? 'warm-up' : `run ${i}`}: ${Math.round(rate.resultsPerSecond)} results/s; serial p50 ${serial.roundTripMsP50.toFixed(2)} ms, p99 ${serial.roundTripMsP99.toFixed(2)} ms; awaiting the commit ${awaited.toFixed(2)} ms`)
      if (i === 0) continue
      perSecond.push(rate.resultsPerSecond)
      p50.push(serial.roundTripMsP50)
      p99.push(serial.roundTripMsP99)
      durable.push(awaited)
    }
    return { noop_per_second: figure(perSecond, '1/s'), round_trip_ms_p50: figure(p50, 'ms'), round_trip_ms_p99: figure(p99, 'ms'), durable_ms_p50: figure(durable, 'ms') }
  } finally {
    await testnet.down()
  }
}
