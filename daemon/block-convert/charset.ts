/** Which character set a text is in, as far as its bytes tell: a byte order mark, the pattern of its zeros, or plausible windows-1252. */
import { isUtf8 } from 'node:buffer'
import { SNIFF_BYTES } from './constants.ts'
import { transcoder } from './charset-decode.ts'
import { plan } from './tables/sample.ts'
import type { Charset } from './tables/settings.ts'
import { RandomAccess } from './tables/random-access.ts'

export type DetectedCharset = Charset | 'utf-32'

/** Bytes of the longest UTF-8 character less one: as many may be cut off at either end of a window. */
const UTF8_TAIL = 3

const LF = 10

/** Share of code units that are ASCII in a table of any language, with its delimiters and line feeds; far above chance. */
const ASCII_UNITS_MIN = 0.1

/** The same where there is no line feed to tell by. */
const ASCII_UNITS_ALONE_MIN = 0.5

/** Share of the bytes above ASCII that must look like letters and signs of western words. */
const PLAUSIBLE_MIN = 0.8

/** Characters of UTF-8 by chance, per byte that is none: `ß“` is one. */
const UTF8_BY_CHANCE_MAX = 0.02

/** Bytes windows-1252 has no character for. */
const UNASSIGNED = new Set([0x81, 0x8d, 0x8f, 0x90, 0x9d])

/** Letters that western European languages use within words. Not ÿ and þ, which are what is left of a byte order mark. */
const LETTERS = new Set(Buffer.from('àâäáãåæçéèêëíìîïñóòôöõøúùûüßðýªºÀÂÄÁÃÅÆÇÉÈÊËÍÎÏÑÓÒÔÖÕØÚÙÛÜÝ\x9c\x9a\x9e\x8c\x8a\x8e', 'latin1'))

/** Signs that stand within words: ’ - – soft hyphen, middle dot, no-break space. */
const WITHIN_WORDS = new Set([0x92, 0x96, 0x97, 0xa0, 0xad, 0xb7])

/** By a byte order mark or the pattern of zeros at the beginning of a file. */
export function charsetOfHead (head: Uint8Array): DetectedCharset | undefined {
  const mark = Buffer.from(head.subarray(0, 4)).toString('hex')
  if (mark === 'fffe0000' || mark === '0000feff') return 'utf-32'
  if (mark.startsWith('fffe')) return 'utf-16le'
  if (mark.startsWith('feff')) return 'utf-16be'
  if (!head.includes(0)) return undefined
  if (isUtf16(head, 0)) return 'utf-16le'
  return isUtf16(head, 1) ? 'utf-16be' : undefined
}

/** ASCII in UTF-16 has a zero in every unit, always on the same side, and so have line feeds. `low`: where in a unit the low byte is. */
function isUtf16 (head: Uint8Array, low: 0 | 1): boolean {
  const units = head.length >> 1
  let ascii = 0
  /** ASCII of the other byte order, or characters like 一 (U+4E00). */
  let reversed = 0
  let lines = 0
  let strayLines = 0
  for (let i = 0; i < units * 2; i += 2) {
    const [lowByte, highByte] = [head[i + low]!, head[i + 1 - low]!]
    // A NUL character is no text.
    if (lowByte === 0 && highByte === 0) return false
    if (highByte === 0) ascii++
    else if (lowByte === 0) reversed++
    if (lowByte === LF && highByte === 0) lines++
    else if (lowByte === LF || highByte === LF) strayLines++
  }
  // A NUL character or two in ASCII may stand on one side by chance.
  return ascii >= units * (lines > 0 ? ASCII_UNITS_MIN : ASCII_UNITS_ALONE_MIN) && reversed * 4 <= ascii && strayLines <= lines
}

/** The character set of a file by windows across all of it; undefined: UTF-8, or nothing that can be told. */
export function detectCharset (path: string, size: number): DetectedCharset | undefined {
  const file = new RandomAccess({ path, size })
  try {
    const windows = plan(file.size).map(([offset, length]) => file.read(offset, length))
    const byHead = charsetOfHead((windows[0] ?? new Uint8Array(0)).subarray(0, SNIFF_BYTES))
    if (byHead != null) return byHead
    return looksLikeWestern(windows) ? 'windows-1252' : undefined
  } finally {
    file.close()
  }
}

/** The beginning of a text as UTF-8, for telling what it is; other bytes as they are. */
export function textHead (head: Uint8Array, named: boolean): Uint8Array {
  const charset = charsetOfHead(head) ?? (looksLikeWestern([head]) || (named && !head.includes(0) && !isUtf8Window(head)) ? 'iso-8859-1' : undefined)
  if (charset == null || charset === 'utf-32') return head
  try {
    // A character may be cut at the end of the head, so its last line is left out.
    const text = transcoder(charset, '', { lenient: true })
    const bytes = Buffer.from(text.push(head))
    const end = head.length === SNIFF_BYTES ? bytes.lastIndexOf(10) + 1 : 0
    return end > 0 ? bytes.subarray(0, end) : bytes
  } catch {
    // No such text after all: its bytes are what there is to judge.
    return head
  }
}

/** Whether a window is UTF-8, apart from characters that are cut at either end of it. */
function isUtf8Window (bytes: Uint8Array): boolean {
  let from = 0
  while (from < UTF8_TAIL && from < bytes.length && (bytes[from]! & 0xc0) === 0x80) from++
  let to = bytes.length
  for (let cut = 1; cut <= UTF8_TAIL && bytes.length - cut >= from; cut++) {
    const byte = bytes[bytes.length - cut]!
    if ((byte & 0xc0) === 0x80) continue
    if (utf8Length(byte) > cut) to -= cut
    break
  }
  return isUtf8(bytes.subarray(from, to))
}

/** Bytes of a character of UTF-8 that begins so; 0: none does. */
function utf8Length (byte: number): number {
  return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : byte < 0x80 ? 1 : 0
}

/** Whether windows of a file that is not UTF-8 read as words in windows-1252: no other 8-bit set passes for it by chance. */
export function looksLikeWestern (windows: Uint8Array[]): boolean {
  if (windows.every(isUtf8Window)) return false
  let high = 0
  let plausible = 0
  let utf8 = 0
  for (const bytes of windows) {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte === 0 || UNASSIGNED.has(byte)) return false
      if (byte < 0x80) continue
      high++
      if (isUtf8Sequence(bytes, i)) utf8++
      if (isPlausible(bytes, i)) plausible++
    }
  }
  return high > 0 && plausible >= high * PLAUSIBLE_MIN && utf8 <= high * UTF8_BY_CHANCE_MAX
}

/** A letter in a word, or a sign where signs stand: not within words. */
function isPlausible (bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at]!
  const [before, after] = [bytes[at - 1] ?? 0, bytes[at + 1] ?? 0]
  if (!LETTERS.has(byte)) return byte < 0xc0 && (WITHIN_WORDS.has(byte) || !(isLetter(before) && isLetter(after)))
  // Words of other alphabets consist of such bytes only.
  return isAsciiLetter(before) || isAsciiLetter(after) || !(LETTERS.has(before) || LETTERS.has(after))
}

function isLetter (byte: number): boolean {
  return isAsciiLetter(byte) || LETTERS.has(byte)
}

function isAsciiLetter (byte: number): boolean {
  return (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
}

/** Whether a character of UTF-8 longer than a byte begins here. */
function isUtf8Sequence (bytes: Uint8Array, at: number): boolean {
  const length = utf8Length(bytes[at]!)
  return length > 1 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length))
}
