import { ConversionError } from '../../errors.ts'

/** Characters of a value shown in a message. */
export const SHOWN_CHARS_MAX = 80

/** A value that its column cannot have. */
export function contradiction (path: string, line: number, column: string, value: string, type: string): ConversionError {
  const shown = value.length > SHOWN_CHARS_MAX ? `${value.slice(0, SHOWN_CHARS_MAX)}...` : value
  return new ConversionError('contradiction', `${path}, line ${line}, column '${column}': ${JSON.stringify(shown)} is not ${type}`, { path, line, column, value: shown, type })
}
