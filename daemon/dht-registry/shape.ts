/** Reads the fields of decoded adverts and records that strangers wrote. */
import { fieldReaders } from '../trust/index.ts'
import { AMOUNT_DIGITS_MAX, NAME_CHARS_MAX } from './constants.ts'
import { AdvertError } from './errors.ts'

export type { Fields } from '../trust/index.ts'

export const { exactly, list, text, count, time, amount, flag, bytes } = fieldReaders({ charsMax: NAME_CHARS_MAX, digitsMax: AMOUNT_DIGITS_MAX, malformed })

export function malformed (message: string): AdvertError {
  return new AdvertError('malformed', message)
}
