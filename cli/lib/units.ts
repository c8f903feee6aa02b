/** Sizes and times, as people write and read them. */
import { usage } from './failure.ts'

const SIZE: Record<string, number> = { '': 1, b: 1, k: 1e3, kb: 1e3, m: 1e6, mb: 1e6, g: 1e9, gb: 1e9, t: 1e12, tb: 1e12, ki: 2 ** 10, kib: 2 ** 10, mi: 2 ** 20, mib: 2 ** 20, gi: 2 ** 30, gib: 2 ** 30, ti: 2 ** 40, tib: 2 ** 40 }

/** `16MB` is 16 000 000, `16MiB` is 16 777 216, a bare number is bytes. */
export function parseBytes (text: string, option: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = SIZE[(unit ?? '?').toLowerCase()]
  const bytes = factor == null ? Number.NaN : Math.round(Number(number) * factor)
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw usage(`${option}: '${text}' is not a size: write for instance 500000, 16MB or 16MiB`, { option, value: text })
  return bytes
}

const TIME: Record<string, number> = { '': 1, s: 1, ms: 0.001, m: 60, min: 60, h: 3600, d: 86400 }

/** Seconds of `90`, `90s`, `10m`, `2h`. */
export function parseSeconds (text: string, option: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const seconds = Number(number) * (TIME[(unit ?? '?').toLowerCase()] ?? Number.NaN)
  if (!(seconds > 0)) throw usage(`${option}: '${text}' is not a time: write for instance 90s, 10m or 2h`, { option, value: text })
  return seconds
}

export function parseWhole (text: string, option: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= least && number <= most)) throw usage(`${option}: '${text}' is not a whole number from ${least} to ${most}`, { option, value: text })
  return number
}

export function formatBytes (bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit] as string}`
}

export function formatSeconds (seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  if (seconds < 99.5) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`
  return `${Math.floor(seconds / 86400)} d ${Math.round(seconds % 86400 / 3600)} h`
}

/** One number and one unit, for tables: `4 s`, `12 min`, `3 h`. */
export function formatAge (milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  if (seconds < 100) return `${seconds} s`
  if (seconds < 100 * 60) return `${Math.floor(seconds / 60)} min`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86400)} d`
}

/** A round trip: `0.4 ms`, `12 ms`; `-` if it was not measured. */
export const formatRtt = (milliseconds: number | undefined): string => milliseconds == null ? '-' : `${milliseconds < 9.95 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`

export const count = (number: number, noun: string, plural = `${noun}s`): string => `${number.toLocaleString('en-US')} ${number === 1 ? noun : plural}`

/** Enough of a peer id, or of an operator's did:key, to tell it from others on one screen. */
export const shortPeer = (peer: string): string => peer.length > 14 ? `…${peer.slice(-8)}` : peer

/** Enough of a job's id to name it: CIDs begin alike and differ at the end. */
export const shortId = (job: string): string => job.length > 16 ? `…${job.slice(-12)}` : job
