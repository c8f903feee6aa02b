/** JSON texts scanned in place: exact lexemes of numbers, canonical form of nested values. RFC 8259, nothing more. */

/** Nesting of arrays and objects in one value. */
export const JSON_DEPTH_MAX = 1000

/** Characters of one number: no program writes more, and working with its digits costs more than linear time. */
export const NUMBER_CHARS_MAX = 4096

/** A position at which a text stops being JSON. */
export class JsonSyntaxError extends Error {
  static override name = 'JsonSyntaxError'
  override readonly name = 'JsonSyntaxError'
  readonly position: number
  constructor (message: string, position: number) {
    super(message)
    this.position = position
  }
}

export const LF = 10
export const QUOTE = 34
export const COMMA = 44
export const COLON = 58
export const OPEN_LIST = 91
export const BACKSLASH = 92
export const CLOSE_LIST = 93
export const OPEN_OBJECT = 123
export const CLOSE_OBJECT = 125
/** `n`, of null. */
export const NULL = 110

/** Scans a text from `position` on. Each method leaves `position` after what it read, and throws JsonSyntaxError. */
export class JsonScanner {
  text = ''
  position = 0
  /** A line feed ends the text instead of being white space. */
  lines = false

  reset (text: string, position = 0): void {
    this.text = text
    this.position = position
  }

  fail (what: string): never {
    throw new JsonSyntaxError(what, this.position)
  }

  /** The next char code that is not white space, not consumed; NaN at the end. */
  peek (): number {
    for (;;) {
      const code = this.text.charCodeAt(this.position)
      if (code === 32 || code === 9 || code === 13 || (code === 10 && !this.lines)) this.position++
      else return code
    }
  }

  /** Consumes a given char, white space before it allowed. */
  expect (code: number): void {
    if (this.peek() !== code) this.fail(`'${String.fromCharCode(code)}' expected`)
    this.position++
  }

  /** A string, decoded. `position` is at its opening quote. */
  string (): string {
    const { text } = this
    const start = this.position + 1
    let i = start
    for (;;) {
      const code = text.charCodeAt(i)
      if (code === QUOTE) {
        this.position = i + 1
        return text.slice(start, i)
      }
      if (code === BACKSLASH) break
      if (!(code >= 32)) {
        this.position = i
        this.fail(i >= text.length ? 'a string does not end' : 'a control character inside a string')
      }
      i++
    }
    for (;;) {
      const code = text.charCodeAt(i)
      if (code === QUOTE) break
      if (!(code >= 32)) {
        this.position = i
        this.fail(i >= text.length ? 'a string does not end' : 'a control character inside a string')
      }
      i += code === BACKSLASH ? 2 : 1
    }
    const lexeme = text.slice(start - 1, i + 1)
    let value: string
    try {
      value = JSON.parse(lexeme) as string
    } catch {
      // its message names a position within the lexeme only; ours names the text's
      this.position = start - 1
      return this.fail('a wrong escape inside a string')
    }
    // No encoding of Unicode has it, and no engine takes it.
    if (!value.isWellFormed()) this.fail('half of a surrogate pair, which is no text')
    this.position = i + 1
    return value
  }

  /** A number's lexeme. */
  number (): string {
    const { text } = this
    const start = this.position
    let i = start
    if (text.charCodeAt(i) === 45) i++
    const first = text.charCodeAt(i)
    if (first === 48) i++
    else i = this.digits(i)
    if (text.charCodeAt(i) === 46) i = this.digits(i + 1)
    const exponent = text.charCodeAt(i)
    if (exponent === 101 || exponent === 69) {
      i++
      const sign = text.charCodeAt(i)
      if (sign === 43 || sign === 45) i++
      i = this.digits(i)
    }
    if (i - start > NUMBER_CHARS_MAX) this.fail(`a number of more than ${NUMBER_CHARS_MAX} characters`)
    this.position = i
    return text.slice(start, i)
  }

  digits (from: number): number {
    let i = from
    for (let code = this.text.charCodeAt(i); code >= 48 && code <= 57; code = this.text.charCodeAt(++i));
    if (i === from) {
      this.position = from
      this.fail('a digit expected')
    }
    return i
  }

  /** `true`, `false` or `null`. */
  literal (): string {
    for (const word of ['true', 'false', 'null']) {
      if (this.text.startsWith(word, this.position)) {
        this.position += word.length
        return word
      }
    }
    return this.fail('a value expected')
  }

  /** Consumes `{` or `[`. False if it is empty; then its end is consumed, too. */
  enter (close: number): boolean {
    this.position++
    if (this.peek() !== close) return true
    this.position++
    return false
  }

  /** After an item: consumes `,` (true) or the end (false). */
  more (close: number): boolean {
    const code = this.peek()
    if (code !== COMMA && code !== close) this.fail(`',' or '${String.fromCharCode(close)}' expected`)
    this.position++
    return code === COMMA
  }

  /** A key and its colon. */
  key (): string {
    if (this.peek() !== QUOTE) this.fail('a key expected')
    const key = this.string()
    this.expect(COLON)
    return key
  }

  /** Passes over a value. */
  skip (depth = 0): void {
    const code = this.peek()
    if (code === QUOTE) this.string()
    else if (this.isNumber(code)) this.number()
    else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (depth >= JSON_DEPTH_MAX) this.fail(`nested deeper than ${JSON_DEPTH_MAX}`)
      if (code === OPEN_LIST) {
        if (this.enter(CLOSE_LIST)) do this.skip(depth + 1); while (this.more(CLOSE_LIST))
      } else if (this.enter(CLOSE_OBJECT)) {
        do {
          this.key()
          this.skip(depth + 1)
        } while (this.more(CLOSE_OBJECT))
      }
    } else this.literal()
  }

  /** Any value in canonical form. */
  canonical (depth = 0): string {
    const code = this.peek()
    if (code === QUOTE) return JSON.stringify(this.string())
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (depth >= JSON_DEPTH_MAX) this.fail(`nested deeper than ${JSON_DEPTH_MAX}`)
      let out = ''
      if (code === OPEN_LIST) {
        if (this.enter(CLOSE_LIST)) do out += `${out === '' ? '' : ','}${this.canonical(depth + 1)}`; while (this.more(CLOSE_LIST))
        return `[${out}]`
      }
      if (this.enter(CLOSE_OBJECT)) do out += `${out === '' ? '' : ','}${JSON.stringify(this.key())}:${this.canonical(depth + 1)}`; while (this.more(CLOSE_OBJECT))
      return `{${out}}`
    }
    return this.isNumber(code) ? canonicalNumber(this.number()) : this.literal()
  }

  /** Whether a number begins with this char code. */
  isNumber (code: number): boolean {
    return code === 45 || (code >= 48 && code <= 57)
  }
}

/** Digits up to which a whole number is written out. */
const PLAIN_DIGITS_MAX = 40

/** A number by its exact decimal value: no trailing zeros, no sign of zero, one way to write it. */
export function canonicalNumber (lexeme: string): string {
  if (/^-?[1-9]\d{0,30}$/.test(lexeme)) return lexeme
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(lexeme) as unknown as [string, string, string, string?, string?]
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length)
  if (power >= 0n && power + BigInt(significant.length) <= BigInt(PLAIN_DIGITS_MAX)) return `${sign}${significant}${'0'.repeat(Number(power))}`
  return `${sign}${significant}e${power}`
}

/** The canonical form of a whole JSON text, or undefined if it is none. */
export function canonicalJson (text: string): string | undefined {
  const scanner = new JsonScanner()
  scanner.reset(text)
  try {
    const value = scanner.canonical()
    return Number.isNaN(scanner.peek()) ? value : undefined
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined
    throw error
  }
}

/** The canonical value of a JSON column: its `null` is NULL, for NDJSON cannot tell the two apart. Undefined if the text is no JSON. */
export function jsonValue (text: string): string | null | undefined {
  const value = canonicalJson(text)
  return value === 'null' ? null : value
}
