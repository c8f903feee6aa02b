/** Standard input as a stream of bytes, with errors that are told apart from those of whoever takes it. */
import { Failure } from './failure.ts'

export interface StandardInputOptions {
  /** Ends the reading at once, even while nothing comes. */
  signal?: AbortSignal
  /** @default process.stdin */
  open?: () => NodeJS.ReadableStream & { destroy: () => unknown }
}

/**
 * Gives standard input to `take`. Read by Node's own stream, whatever it is: a pipe may be non-blocking, where a plain read
 * fails as soon as its writer is slower than we are.
 * @throws Failure `input-unreadable` where it cannot be read, or what `take` throws
 */
export async function readStandardInput<T> (take: (source: AsyncIterable<Uint8Array>) => Promise<T>, { signal, open = () => process.stdin }: StandardInputOptions = {}): Promise<T> {
  const input = open()
  let broken: Failure | undefined
  async function * bytes (): AsyncGenerator<Uint8Array> {
    try {
      yield * input as AsyncIterable<Uint8Array>
    } catch (error) {
      if (signal?.aborted !== true) broken = new Failure('input-unreadable', `cannot read standard input: ${(error as Error).message}`, {}, { cause: error })
      throw error
    }
  }
  // Whoever waits for bytes that never come would keep the process alive.
  const stop = (): void => { input.destroy() }
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await take(bytes())
  } catch (error) {
    throw broken ?? error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}
