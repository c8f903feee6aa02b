/** The isolation that was required is not to be had on this machine. The message says why and what to do. */
export class IsolationError extends Error {
  static override readonly name = 'IsolationError'
  override readonly name = 'IsolationError'
}

/** An engine process did not start. The message carries its last words. */
export class EngineStartError extends Error {
  static override readonly name = 'EngineStartError'
  override readonly name = 'EngineStartError'
}

/** What came over the channel is not a message. */
export class FrameError extends Error {
  static override readonly name = 'FrameError'
  override readonly name = 'FrameError'
}
