/** Seeded mutation: of bytes, and of the values that DAG-CBOR carries. The same seed gives the same mutants. */
import { CID } from 'multiformats/cid'

/** In [0, 2^32). */
export type Random = () => number

/** mulberry32: small, fast, and good enough to choose mutations. */
export function randomOf (seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

export const below = (random: Random, limit: number): number => random() % limit
export const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)] as T

const BYTES = [0, 1, 2, 0x0b, 0x0c, 0x1f, 0x3f, 0x5f, 0x7b, 0x7f, 0x80, 0x81, 0x9f, 0xa1, 0xbf, 0xc0, 0xd8, 0xdf, 0xf5, 0xf6, 0xf7, 0xf9, 0xfb, 0xfe, 0xff]

/** Lengths and numbers as Protobuf and CBOR write them, at their borders and beyond. */
const FRAGMENTS = [
  [0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], [0x80, 0x00], [0xff, 0x7f],
  [0xff, 0xff, 0xff, 0x7f], [0x80, 0x80, 0x40], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x1a, 0xff, 0xff, 0xff, 0xff], [0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x1b, 0x00, 0x20, 0, 0, 0, 0, 0, 0],
  [0x9a, 0xff, 0xff, 0xff, 0xff], [0xba, 0xff, 0xff, 0xff, 0xff], [0x5a, 0xff, 0xff, 0xff, 0xff], [0x7a, 0xff, 0xff, 0xff, 0xff], [0x9f], [0xbf, 0xff], [0xd8, 0x2a], [0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], [0xf9, 0x7e, 0],
  [0xf0, 0x9f], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf], [0x1b, 0x5b, 0x32, 0x4a], [0x0a, 0x00], [0x2f, 0x2f], [0x69, 0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f]
].map(bytes => Uint8Array.from(bytes))

/** What is repeated to nest or to number: groups of Protobuf, arrays, maps and tags of CBOR, brackets of JSON. */
const REPEATED = [0x0b, 0x7b, 0x81, 0xa1, 0xc6, 0x9f, 0x5b, 0x7b, 0x80, 0xff, 0x00]

/** One to four changes; the result has at most `max` bytes. `others` are what parts are taken from. */
export function mutated (random: Random, from: Uint8Array, others: readonly Uint8Array[], max: number): Uint8Array {
  let bytes = Uint8Array.from(from)
  for (let changes = 1 + below(random, 4); changes > 0; changes--) bytes = changed(random, bytes, others, max)
  return bytes.byteLength > max ? bytes.subarray(0, max) : bytes
}

function changed (random: Random, bytes: Uint8Array<ArrayBuffer>, others: readonly Uint8Array[], max: number): Uint8Array<ArrayBuffer> {
  const length = bytes.byteLength
  const at = below(random, length + 1)
  switch (below(random, 12)) {
    case 0: return set(bytes, at, 1 << below(random, 8), true)
    case 1: return set(bytes, at, below(random, 256), false)
    case 2: return set(bytes, at, pick(random, BYTES), false)
    case 3: return set(bytes, at, 1 + 254 * below(random, 2), true)
    case 4: return bytes.slice(0, at)
    case 5: return spliced(bytes, at, 1 + below(random, 8), new Uint8Array())
    case 6: return spliced(bytes, at, below(random, 3), pick(random, FRAGMENTS))
    case 7: return spliced(bytes, at, 0, Uint8Array.from({ length: 1 + below(random, 16) }, () => below(random, 256)))
    case 8: return spliced(bytes, at, below(random, 2), part(random, bytes))
    case 9: return spliced(bytes, at, below(random, 8), part(random, pick(random, others)))
    case 10: {
      // Now and then as long as may be: depth and number are what recursion and lists fear.
      const many = below(random, 64) === 0 ? max : 1 + below(random, 40)
      return spliced(bytes, at, 0, new Uint8Array(Math.max(0, Math.min(many, max - length))).fill(pick(random, REPEATED)))
    }
    default: {
      const [a, b] = [below(random, length + 1), below(random, length + 1)]
      bytes.subarray(Math.min(a, b), Math.max(a, b)).reverse()
      return bytes
    }
  }
}

function set (bytes: Uint8Array<ArrayBuffer>, at: number, value: number, flip: boolean): Uint8Array<ArrayBuffer> {
  if (at < bytes.byteLength) bytes[at] = flip ? (bytes[at] as number) ^ value : value
  return bytes
}

function spliced (bytes: Uint8Array<ArrayBuffer>, at: number, removed: number, added: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = Math.min(bytes.byteLength, at + removed)
  const out = new Uint8Array(at + added.byteLength + bytes.byteLength - end)
  out.set(bytes.subarray(0, at))
  out.set(added, at)
  out.set(bytes.subarray(end), at + added.byteLength)
  return out
}

function part (random: Random, bytes: Uint8Array): Uint8Array {
  const from = below(random, bytes.byteLength + 1)
  return bytes.slice(from, from + below(random, 64))
}

const SOME_CID = CID.parse('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy')

const VALUES: readonly unknown[] = [
  null, true, false, 0, -1, 1, 23, 24, 255, 256, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), 0.5, 1e300, -0.1, 8.64e15, 8.64e15 + 1,
  '', '0', '00', '-1', '1e9', '1'.repeat(31), 'x'.repeat(257), 'x'.repeat(5000), '\u0000', 'a\nb', '\u001b[2J', '\ud83d\ude00', 'did:key:z6Mk', '__proto__', 'constructor', '/ip4/127.0.0.1/tcp/0', '/ip4/999.1.1.1/tcp/99999',
  new Uint8Array(), new Uint8Array(32), new Uint8Array(600).fill(7), [], {}, [[]], [null], { a: 1 }, SOME_CID, [SOME_CID], Array.from({ length: 600 }, (_, i) => i)
]

const KEYS = ['', 'v', 'version', 'toString', 'constructor', 'hasOwnProperty', 'length', 'peer', 'x'.repeat(300), '\u0000', 'é']

/** A value like `from` with one to three changes anywhere in it. Not every result can be encoded. */
export function mutatedValue (random: Random, from: unknown): unknown {
  let value = from
  for (let changes = 1 + below(random, 3); changes > 0; changes--) value = changedValue(random, value, 0)
  return value
}

function changedValue (random: Random, value: unknown, depth: number): unknown {
  // Mostly further down: the leaves are where the fields are.
  if (depth < 6 && below(random, 8) !== 0) {
    if (Array.isArray(value) && value.length > 0) return changedList(random, value, depth)
    if (isMap(value) && Object.keys(value).length > 0) return changedMap(random, value, depth)
  }
  if (typeof value === 'number' && below(random, 2) === 0) return value + pick(random, [1, -1, 60_000, -60_000, 3.6e6, -3.6e6, 86_400_000, 1e13])
  if (typeof value === 'string' && below(random, 2) === 0) return pick(random, [value + value, value.slice(1), value.toUpperCase(), `${value}\u0000`, `0${value}`])
  if (value instanceof Uint8Array && below(random, 2) === 0) return mutated(random, value, [value], 4096)
  if (below(random, 16) === 0) return nested(value, 1 + below(random, 60))
  return pick(random, VALUES)
}

function changedList (random: Random, list: unknown[], depth: number): unknown[] {
  const at = below(random, list.length)
  switch (below(random, 8)) {
    case 0: return list.toSpliced(at, 1)
    case 1: return [...list, list[at]]
    case 2: {
      // Lists of lists of lists: three changes could otherwise make a value of billions.
      const most = Math.max(1, Math.floor(ENTRIES_MAX / entriesOf(list[at])))
      return Array.from({ length: Math.min(most, pick(random, [17, 64, 513, 2000])) }, () => list[at])
    }
    default: return list.with(at, changedValue(random, list[at], depth + 1))
  }
}

/** Entries of a list that is made long, all levels together. */
const ENTRIES_MAX = 20_000

function entriesOf (value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, entry) => sum + entriesOf(entry), 1)
  return isMap(value) ? Object.values(value).reduce((sum: number, entry) => sum + entriesOf(entry), 1) : 1
}

function changedMap (random: Random, map: Record<string, unknown>, depth: number): Record<string, unknown> {
  const entries = Object.entries(map)
  const at = below(random, entries.length)
  const [key, value] = entries[at] as [string, unknown]
  switch (below(random, 12)) {
    case 0: return Object.fromEntries(entries.toSpliced(at, 1))
    case 1: return Object.fromEntries([...entries, [pick(random, KEYS), pick(random, VALUES)]])
    case 2: return Object.fromEntries(entries.with(at, [pick(random, KEYS), value]))
    case 3: return Object.fromEntries(entries.with(at, [key, (entries[below(random, entries.length)] as [string, unknown])[1]]))
    default: return Object.fromEntries(entries.with(at, [key, changedValue(random, value, depth + 1)]))
  }
}

function nested (value: unknown, levels: number): unknown {
  let at = value
  for (let i = 0; i < levels; i++) at = i % 2 === 0 ? [at] : { a: at }
  return at
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && CID.asCID(value) == null
