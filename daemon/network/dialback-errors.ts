/** A message of `dialback/1.0.0` is not what it should be. */
export class DialbackError extends Error {
  override name = 'DialbackError'
  readonly code = 'malformed'
}
