/** Hours of the week, as in `policy.hours`: 'Mon-Fri 18:00-08:00'. All of UTC: members of a network are not all in one zone. */

/** Minutes of a week; 0 is Monday 00:00 UTC. */
export const WEEK_MINUTES = 7 * 24 * 60
const DAY_MINUTES = 24 * 60

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const FORM = /^(?:(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? )?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)$/i

/** From a minute of the week to another, the end excluded; the end lies beyond WEEK_MINUTES where it wraps. */
export type Span = [from: number, to: number]

/** The spans a line of `policy.hours` stands for, one a day; undefined if it is not of that form. */
export function parseHours (text: string): Span[] | undefined {
  const found = FORM.exec(text.trim())
  if (found == null) return undefined
  const [, first, last, fromHour, fromMinute, toHour, toMinute] = found
  const from = Number(fromHour) * 60 + Number(fromMinute)
  const to = Number(toHour) * 60 + Number(toMinute)
  if (to > DAY_MINUTES || from === to) return undefined
  const begin = first == null ? 0 : DAYS.indexOf(first.toLowerCase())
  const end = first == null ? 6 : last == null ? begin : DAYS.indexOf(last.toLowerCase())
  const count = (end - begin + 7) % 7 + 1
  return Array.from({ length: count }, (_, i) => {
    const start = ((begin + i) % 7) * DAY_MINUTES + from
    return [start, start + (to > from ? to - from : to + DAY_MINUTES - from)]
  })
}

/** Whether a time, in UTC milliseconds, lies in one of the spans; always if there is none. */
export function isWithin (spans: Span[], now: number): boolean {
  if (spans.length === 0) return true
  // 1970-01-01 was a Thursday.
  const minute = (Math.floor(now / 60_000) + 3 * DAY_MINUTES) % WEEK_MINUTES
  return spans.some(([from, to]) => (minute >= from && minute < to) || (minute + WEEK_MINUTES >= from && minute + WEEK_MINUTES < to))
}
