/** Waiting that a signal ends. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Settles as `promise` does, or rejects with the signal's reason if that comes first. Leaves no listener behind. */
export async function settledOrAborted<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw signal.reason
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => { reject(signal.reason) }
  signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Waits; ends early, without an error, if the signal fires. Does not keep the process alive. */
export async function pause (ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal, ref: false })
  } catch {
    // Only the signal rejects it, and the caller looks at the signal.
  }
}
