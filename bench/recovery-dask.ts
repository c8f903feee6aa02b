/** The same faults on Dask (Debian's python3-distributed), where it is installed. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { WORKERS, WORKER_SLOTS } from './recovery-faults.ts'
import { LOADS, momentsOf, type Load } from './recovery-run.ts'

const PYTHON = '/usr/bin/python3'

/** Longest wait for Dask to find a frozen worker out, milliseconds: by default it takes five minutes (worker-ttl). */
const WAIT_MS = 15_000

export interface DaskPair {
  /** null: not while it was waited for. */
  detectedMs: number | null
  held: number
  runningMs: number[]
  calmMs: number
  struckMs: number
  blocks: number
  redone: number
}

/** A text says why there is nothing to compare with. */
export async function daskPairs ({ fault, load, runs, seed, log }: { fault: 'sigkill' | 'freeze', load: Load, runs: number, seed: number, log: (line: string) => void }): Promise<DaskPair[] | string> {
  if (!['/usr/bin/dask-scheduler', '/usr/bin/dask-worker', PYTHON].every(existsSync)) return 'not installed (python3-distributed)'
  const ask = { fault, runs, seed, workers: WORKERS, threads: WORKER_SLOTS, waitMs: WAIT_MS, load: { ...LOADS[load], ...momentsOf(load) } }
  const child = spawn(PYTHON, [join(import.meta.dirname, 'dask-recovery.py'), JSON.stringify(ask)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said = (said + chunk.toString()).slice(-4000) })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const pairs: DaskPair[] = []
  let missing: string | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const pair = JSON.parse(line) as DaskPair | { missing: string }
    if ('missing' in pair) {
      missing = pair.missing
      continue
    }
    pairs.push(pair)
    log(`dask, ${fault}, ${load}, run ${pairs.length}: found out after ${pair.detectedMs?.toFixed(0) ?? `more than ${WAIT_MS}`} ms; ${pair.held} tasks were running there, elsewhere after ${pair.runningMs.map(ms => ms.toFixed(0)).join(', ') || 'never'} ms; makespan ${pair.calmMs.toFixed(0)} -> ${pair.struckMs.toFixed(0)} ms`)
  }
  const code = await ended
  if (missing != null) return missing
  if (code !== 0) throw new Error(`the run of Dask ended with ${code}: ${said}`)
  return pairs
}
