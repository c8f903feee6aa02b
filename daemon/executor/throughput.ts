/** Measures what this node really converts per second, for its advert. */
import type { EngineTask, Executor } from './index.ts'

/** Weight of the newest measurement: some ten blocks and the past no longer counts. */
const NEWEST_WEIGHT = 0.2

/** Inputs below this say more about process start than about throughput. Bytes. */
const TELLING_BYTES = 64 * 1024

export interface MeasuredExecutor extends Executor {
  /** Bytes of input per second and slot of a converter; 0 = not measured yet. */
  throughput: (converter: string) => number
  /** Takes a measurement made elsewhere, in bytes per second, unless real work gave one already. */
  seed: (converter: string, bytesPerSecond: number) => void
}

/** The same executor, listening to how long its tasks take. `known` are measurements from before a restart. */
export function withThroughput (executor: Executor, known: Record<string, number> = {}): MeasuredExecutor {
  const rates = new Map(Object.entries(known))
  const sizeOf = ({ input }: EngineTask): number => 'bytes' in input ? input.bytes.byteLength : input.size
  return {
    get slots () { return executor.slots },
    get busy () { return executor.busy },
    get waiting () { return executor.waiting },
    get guests () { return executor.guests },
    get isolation () { return executor.isolation },
    start: () => executor.start(),
    stop: () => executor.stop(),
    workspace: () => executor.workspace(),
    limitGuests: limit => { executor.limitGuests(limit) },
    freeBytes: () => executor.freeBytes(),
    runInline: (...args) => executor.runInline(...args),
    run: async (task, options) => {
      const outcome = await executor.run(task, options)
      const size = sizeOf(task)
      if (outcome.ok && size >= TELLING_BYTES && outcome.wallMs > 0) {
        const rate = size * 1000 / outcome.wallMs
        const before = rates.get(task.converter)
        rates.set(task.converter, before == null ? rate : before + NEWEST_WEIGHT * (rate - before))
      }
      return outcome
    },
    throughput: converter => Math.round(rates.get(converter) ?? 0),
    seed: (converter, bytesPerSecond) => { if (!rates.has(converter)) rates.set(converter, bytesPerSecond) }
  }
}
