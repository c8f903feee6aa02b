/** Ctrl-C during a command: once to end in good order, twice to quit at once. */
import { EXIT } from './exit.ts'

export interface Interrupt {
  signal: AbortSignal
  /** Runs when the first signal comes, or at once if it came already. The returned function takes it back. */
  onAbort: (act: () => Promise<void>) => () => void
  /** Signals have their usual meaning again. */
  release: () => void
}

export function onInterrupt (): Interrupt {
  const controller = new AbortController()
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    controller.abort()
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return {
    signal: controller.signal,
    onAbort: act => {
      // What fails here fails again, and is told, where the command waits for its job.
      const run = (): void => { act().catch(() => {}) }
      if (controller.signal.aborted) run()
      else controller.signal.addEventListener('abort', run, { once: true })
      return () => { controller.signal.removeEventListener('abort', run) }
    },
    release: () => {
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    }
  }
}
