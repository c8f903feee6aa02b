/** Days and times of day as they stand in bytes, without making a text of them. */
import { isDay } from '../lexical.ts'

export const SPACE = 32
export const MINUS = 45
export const DOT = 46

function digits2 (bytes: Uint8Array, at: number): number {
  const tens = (bytes[at]! - 48) >>> 0
  const ones = (bytes[at + 1]! - 48) >>> 0
  return tens < 10 && ones < 10 ? tens * 10 + ones : -1
}

/** Whether `yyyy-mm-dd` of an existing day stands here. */
export function isDayAt (bytes: Uint8Array, at: number): boolean {
  const century = digits2(bytes, at)
  const year = digits2(bytes, at + 2)
  const month = digits2(bytes, at + 5)
  const day = digits2(bytes, at + 8)
  if (century < 0 || year < 0 || bytes[at + 4] !== MINUS || bytes[at + 7] !== MINUS || month < 1 || month > 12 || day < 1) return false
  return (day <= 28 && century + year > 0) || isDay(century * 100 + year, month, day)
}

/** Whether `hh:mm:ss` stands here. */
export function isSecondAt (bytes: Uint8Array, at: number): boolean {
  const hour = digits2(bytes, at)
  const minute = digits2(bytes, at + 3)
  const second = digits2(bytes, at + 6)
  return hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60 && bytes[at + 2] === 58 && bytes[at + 5] === 58
}
