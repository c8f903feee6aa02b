/** The configuration cannot be used. The message names the file, variable or flag, the key and the remedy, in one line. */
export class ConfigError extends Error {
  static override readonly name = 'ConfigError'
  override readonly name = 'ConfigError'
  readonly code = 'bad-configuration'
  /** `{ key?, file?, line?, known? }` */
  readonly details: Record<string, unknown>
  constructor (message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options)
    this.details = details
  }
}
