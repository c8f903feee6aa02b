/** The planted fault `crash-loop`: a daemon of a test network that dies again and again. Who runs the network starts it again. */
import { createHash } from 'node:crypto'
import { faultValue } from '../../daemon/config/faults.ts'
import { parseSeconds } from '../lib/units.ts'

const CRASH_LOOP = 'crash-loop'

export const crashes = (faults: readonly string[]): boolean => faultValue(faults, CRASH_LOOP, '') != null

/** Ends this process without a word, from half to one and a half of the time that the fault names from now; by chance, or by the seed. */
export function crashLater ({ faults, seed }: { faults: readonly string[], seed: string }): void {
  const after = faultValue(faults, CRASH_LOOP, '10s')
  if (after == null) return
  const drawn = seed === '' ? Math.random() : createHash('sha256').update(`weft/crash/${seed}`).digest().readUInt32BE() / 2 ** 32
  setTimeout(() => { process.kill(process.pid, 'SIGKILL') }, (0.5 + drawn) * 1000 * parseSeconds(after, CRASH_LOOP)).unref()
}
