/** Faults of a test network's node, as its profile and its configuration write them. */

/** A name, and what may follow it after a colon. */
const FAULTS: Record<string, { value: RegExp, means: string }> = {
  wrong: { value: /^(0(\.\d+)?|1)$/, means: 'spoils results ("wrong:0.1" a tenth of them)' },
  slow: { value: /^\d+(\.\d+)?$/, means: 'takes ten times as long ("slow:3" three times)' },
  silent: { value: /^(0(\.\d+)?|1)$/, means: 'takes blocks and never answers ("silent:0.1" a tenth of them)' },
  drop: { value: /^(0(\.\d+)?|1)$/, means: 'loses results or resets its connections at random ("drop:0.2" a fifth of the blocks; a tenth by default)' },
  overprice: { value: /^\d+(\.\d+)?$/, means: 'asks ten times its price once an offer came ("overprice:3" three times)' },
  'crash-loop': { value: /^\d+(\.\d+)?(ms|s)$/, means: 'dies after about ten seconds, again and again ("crash-loop:3s" three)' }
}

/** Faults of one node at most: one of each. */
export const FAULTS_MAX = Object.keys(FAULTS).length

export const FAULTS_EXPECTED = `expected ${Object.keys(FAULTS).slice(0, -1).join(', ')} or ${Object.keys(FAULTS).at(-1) ?? ''}, some with a number, like "wrong:0.1", "slow:3", "silent:0.1", "drop:0.2", "overprice:3" or "crash-loop:10s"`

export const FAULTS_MEAN = Object.entries(FAULTS).map(([name, { means }]) => `"${name}" ${means}`).join(', ')

/** One expression for all, for the schema that other programs read. */
export const FAULT = new RegExp(`^(${Object.entries(FAULTS).map(([name, { value }]) => `${name}(:${value.source.slice(1, -1)})?`).join('|')})$`)

/** The value of a fault: what follows its name, `initial` if nothing does, undefined if it is not planted. */
export function faultValue (faults: readonly string[], name: string, initial: string): string | undefined {
  const fault = faults.find(text => text === name || text.startsWith(`${name}:`))
  return fault == null ? undefined : fault.slice(name.length + 1) || initial
}
