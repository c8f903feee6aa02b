/**
 * What can be expected to go wrong in a conversion. It lives beside `index.ts`, which re-exports it, so that the modules
 * of a family can throw it without importing the list of families they are part of.
 */
export type ConversionErrorCode =
  | 'unknown-type'      // no converter between these types
  | 'bad-parameters'    // a setting is unknown or ill-typed
  | 'bad-input'         // the input is not what its type says (message names file and place)
  | 'contradiction'     // a value contradicts the schema decided for the job; details: { path, line, column, value, type }
  | 'input-unreadable'  // missing, a directory, no permission
  | 'input-changed'     // size, mtime or digest differ from when it was described
  | 'unsupported'       // valid, but something we cannot represent (said exactly)
  | 'engine'            // the engine failed in a way of its own

/** An expected failure of a conversion. `details` is JSON-like. */
export class ConversionError extends Error {
  static override name = 'ConversionError'
  override readonly name = 'ConversionError'
  readonly code: ConversionErrorCode
  readonly details: Record<string, unknown>
  constructor (code: ConversionErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}

/** Why a file of the user's could not be read, as one line that says what to do. Other errors pass through. */
export function unreadable (path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  const reason = typeof code === 'string' ? READ_FAILURES[code] : undefined
  if (reason == null) return error
  return new ConversionError('input-unreadable', `cannot read '${path}': ${reason}`, { path, system: code })
}

const READ_FAILURES: Record<string, string> = {
  ENOENT: 'there is no such file; check the path',
  ENOTDIR: 'a part of the path is not a folder; check the path',
  EISDIR: 'it is a folder; name a file in it',
  EACCES: 'permission denied; let the daemon\'s user read it',
  EPERM: 'permission denied; let the daemon\'s user read it',
  ELOOP: 'too many symbolic links; name the file itself',
  ENAMETOOLONG: 'the path is too long',
  EMFILE: 'too many open files; raise the limit of open files and try again',
  EIO: 'the disk reported an error; check the device',
  ESTALE: 'the network file system lost it; mount it again and try again'
}
