/**
 * Plausible lies, for test networks: bytes of the same form with another content. One digit or letter of one value is
 * changed, so that structure checks pass and only a comparison with the source finds out. Pure.
 */

/** Bytes at the end of a block in which a value to change is looked for. */
export const LIE_WINDOW_BYTES = 64 << 10

export type LieForm = 'delimited' | 'json' | 'bytes'

/** The form of a media type, as far as lying needs it. */
export function formOf (mediaType: string): LieForm {
  if (mediaType === 'text/csv' || mediaType === 'text/tab-separated-values') return 'delimited'
  return /json/.test(mediaType) ? 'json' : 'bytes'
}

/** Numbers of at most 15 digits: all are told apart by every type they may be read as, a longer DOUBLE is not. */
const DIGITS_MAX = 15

/** Words that are more than text to one reader or another: changed, they would contradict a type instead of lying. */
const NOT_TEXT = /^(?:true|false|null|none|nan|inf|infinity)$/i

/** A whole field, quoted or not, between delimiters or line ends. */
const FIELD = /(?<=^|[,;\t|\n])"?(-?\d+(?:\.\d+)?|[A-Za-z]{3}[A-Za-z ]*)"?(?=$|[,;\t|\r\n])/g
/** A value of a JSON object. */
const VALUE = /(?<=":\s?)(-?\d+(?:\.\d+)?(?=\s?[,}])|"[A-Za-z]{3}[A-Za-z ]*")/g

/**
 * Which byte of `tail`, the end of a block, to replace by what; undefined if there is nothing to lie about. `whole` says
 * that `tail` is the whole block, whose first line may be a header.
 */
export function planLie (tail: Uint8Array, form: LieForm, whole: boolean, random: () => number): { at: number, byte: number } | undefined {
  if (form === 'bytes') {
    if (tail.byteLength === 0) return undefined
    const at = Math.floor(random() * tail.byteLength)
    return { at, byte: (tail[at] ?? 0) ^ (1 + Math.floor(random() * 255)) }
  }
  // One character per byte, so that positions in the text are positions in the bytes.
  const text = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength).toString('latin1')
  const candidates: number[] = []
  // A header is no value, and the first line of a part of a block may begin anywhere.
  const from = form === 'json' && whole ? 0 : text.indexOf('\n') + 1
  if (from === 0 && !(form === 'json' && whole)) return undefined
  for (const match of text.slice(from).matchAll(form === 'json' ? VALUE : FIELD)) {
    const value = match[1] ?? ''
    const digits = value.replaceAll(/\D/g, '').length
    if (digits > DIGITS_MAX || NOT_TEXT.test(value)) continue
    const quote = match[0].startsWith('"') && !value.startsWith('"') ? 1 : 0
    // The last digit of a number; a letter within a text.
    candidates.push(from + match.index + quote + (digits > 0 ? value.length - 1 : 2))
  }
  const at = candidates[Math.floor(random() * candidates.length)]
  return at == null ? undefined : { at, byte: another(tail[at] ?? 0, random) }
}

/** Another digit from 1 to 9 for a digit, another letter of the same case for a letter. */
function another (byte: number, random: () => number): number {
  const [first, count] = byte <= 0x39 ? [0x31, 9] : byte <= 0x5a ? [0x41, 26] : [0x61, 26]
  const place = byte - first
  // A zero is outside of 1 to 9, so all nine are different from it.
  if (place < 0) return first + Math.floor(random() * count)
  return first + (place + 1 + Math.floor(random() * (count - 1))) % count
}
