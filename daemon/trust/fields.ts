/** Reads the fields of decoded values that strangers wrote. Each module says how long texts may be and what it throws. */
export type Fields = Record<string, unknown>

export interface FieldOptions {
  /** Characters of a text at most. */
  charsMax: number
  /** Digits of an amount at most. */
  digitsMax: number
  /** What is thrown, of a text that names the field. */
  malformed: (message: string) => Error
}

/** Each takes the value and what it is called in an error. */
export interface FieldReaders {
  /** A map with exactly these keys. */
  exactly: (value: unknown, keys: readonly string[], what: string) => Fields
  list: (value: unknown, max: number, what: string) => unknown[]
  /** Text of others ends up in logs and on terminals: no control characters. */
  text: (value: unknown, what: string) => string
  /** A whole number from 0, safe in JavaScript. */
  count: (value: unknown, what: string) => number
  /** UTC milliseconds that a Date can hold. */
  time: (value: unknown, what: string) => number
  /** An amount of money, decimal digits. */
  amount: (value: unknown, what: string) => string
  flag: (value: unknown, what: string) => boolean
  bytes: (value: unknown, what: string) => Uint8Array
}

/** The last millisecond of a Date. */
const TIME_MAX = 8.64e15

export function fieldReaders ({ charsMax, digitsMax, malformed }: FieldOptions): FieldReaders {
  const count = (value: unknown, what: string): number => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed(`${what} is not a whole number`)
    return value
  }
  return {
    exactly (value, keys, what) {
      if (typeof value !== 'object' || value == null || Array.isArray(value) || value instanceof Uint8Array) throw malformed(`${what} is not a map`)
      if (Object.keys(value).length !== keys.length || !keys.every(key => Object.hasOwn(value, key))) throw malformed(`${what} has other fields than ${keys.join(', ')}`)
      return value as Fields
    },
    list (value, max, what) {
      if (!Array.isArray(value) || value.length > max) throw malformed(`${what} is not a list of at most ${max}`)
      return value
    },
    text (value, what) {
      // eslint-disable-next-line no-control-regex
      if (typeof value !== 'string' || value.length > charsMax || /[\u0000-\u001f\u007f-\u009f]/.test(value)) throw malformed(`${what} is not text of at most ${charsMax} characters`)
      return value
    },
    count,
    time (value, what) {
      const at = count(value, what)
      if (at > TIME_MAX) throw malformed(`${what} is not a time`)
      return at
    },
    amount (value, what) {
      if (typeof value !== 'string' || value.length > digitsMax || !/^(0|[1-9][0-9]*)$/.test(value)) throw malformed(`${what} is not an amount`)
      return value
    },
    flag (value, what) {
      if (typeof value !== 'boolean') throw malformed(`${what} is neither true nor false`)
      return value
    },
    bytes (value, what) {
      if (!(value instanceof Uint8Array)) throw malformed(`${what} is not bytes`)
      return value
    }
  }
}
