/** The data directory cannot be used as it is (permissions, not a directory, damaged). The message says what to do. */
export class DataDirError extends Error {
  static override name = 'DataDirError'
  override readonly name = 'DataDirError'
}

/** Another process has the data directory open. */
export class DataDirLockedError extends Error {
  static override name = 'DataDirLockedError'
  override readonly name = 'DataDirLockedError'
}

/** The data directory was written by a newer version of this program. */
export class DataDirVersionError extends Error {
  static override name = 'DataDirVersionError'
  override readonly name = 'DataDirVersionError'
}
