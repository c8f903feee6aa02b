/** JSON texts scanned in place: exact lexemes of numbers, canonical form of nested values. RFC 8259, nothing more. */

/** Nesting of arrays and objects in one value. */
export const JSON_DEPTH_MAX = 1000

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

const QUOTE = 34
const BACKSLASH = 92

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
    try {
      const value = JSON.parse(lexeme) as string
      this.position = i + 1
      return value
    } catch {
      // its message names a position within the lexeme only; ours names the text's
      this.position = start - 1
      return this.fail('a wrong escape inside a string')
    }
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

  /** Any value in canonical form. */
  canonical (depth = 0): string {
    const code = this.peek()
    switch (code) {
      case QUOTE: return JSON.stringify(this.string())
      case 123: {   // {
        if (depth >= JSON_DEPTH_MAX) this.fail(`nested deeper than ${JSON_DEPTH_MAX}`)
        this.position++
        if (this.peek() === 125) {
          this.position++
          return '{}'
        }
        let out = '{'
        for (;;) {
          if (this.peek() !== QUOTE) this.fail('a key expected')
          const key = JSON.stringify(this.string())
          this.expect(58)
          out += `${key}:${this.canonical(depth + 1)}`
          const next = this.peek()
          this.position++
          if (next === 125) return `${out}}`
          if (next !== 44) {
            this.position--
            this.fail("',' or '}' expected")
          }
          out += ','
        }
      }
      case 91: {   // [
        if (depth >= JSON_DEPTH_MAX) this.fail(`nested deeper than ${JSON_DEPTH_MAX}`)
        this.position++
        if (this.peek() === 93) {
          this.position++
          return '[]'
        }
        let out = '['
        for (;;) {
          out += this.canonical(depth + 1)
          const next = this.peek()
          this.position++
          if (next === 93) return `${out}]`
          if (next !== 44) {
            this.position--
            this.fail("',' or ']' expected")
          }
          out += ','
        }
      }
      default:
        return code === 45 || (code >= 48 && code <= 57) ? canonicalNumber(this.number()) : this.literal()
    }
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
