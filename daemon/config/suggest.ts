/** The known name nearest to a mistyped one. */
import { SUGGESTION_DISTANCE_MAX } from './constants.ts'

const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '')

/** undefined if nothing is near. Case and punctuation do not count: `apiPort` is near `api.port`. */
export function nearest (name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.min(SUGGESTION_DISTANCE_MAX, Math.ceil(name.length / 2)) + 1
  for (const candidate of known) {
    const distance = editDistance(plain(name), plain(candidate))
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Levenshtein's distance, one row at a time. */
export function editDistance (a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((next[j - 1] as number) + 1, (row[j] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] as number
}
