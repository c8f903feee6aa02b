/** Parameters of the probe converters: `--set` text on one side, typed values on the other. */
import { ConversionError } from '../errors.ts'
import type { Parameters } from '../index.ts'

/** One parameter: its default, and a check that returns what is wrong with a value, in words. */
export interface Rule {
  default?: unknown
  wrong: (value: unknown) => string | undefined
  /** From the text of `--set key=value`. */
  parse: (text: string) => unknown
}

export type Rules = Record<string, Rule>

export function numberBetween (min: number, max: number, initial: number): Rule {
  return {
    default: initial,
    wrong: value => typeof value === 'number' && value >= min && value <= max ? undefined : `must be a number from ${min} to ${max}`,
    parse: said => said.trim() === '' ? Number.NaN : Number(said)
  }
}

export function oneOf (values: readonly string[], initial: string): Rule {
  return {
    default: initial,
    wrong: value => typeof value === 'string' && values.includes(value) ? undefined : `must be one of ${values.join(', ')}`,
    parse: said => said
  }
}

/** An optional text of 1 to `max` characters. */
export function text (max: number): Rule {
  return {
    wrong: value => typeof value === 'string' && value.length > 0 && value.length <= max ? undefined : `must be a text of 1 to ${max} characters`,
    parse: said => said
  }
}

/** Fills in defaults. Throws ConversionError `bad-parameters` naming the key and, if unknown, the nearest known one. */
export function validate (converter: string, rules: Rules, params: Parameters): Parameters {
  const result: Parameters = {}
  for (const [key, value] of Object.entries(params)) {
    const rule = known(converter, rules, key)
    if (value === undefined) continue
    const wrong = rule.wrong(value)
    if (wrong != null) throw new ConversionError('bad-parameters', `${converter}: '${key}' ${wrong}, not ${printed(value)}`, { key })
    result[key] = value
  }
  for (const [key, rule] of Object.entries(rules)) {
    if (rule.default !== undefined && result[key] === undefined) result[key] = rule.default
  }
  return result
}

/** The parameters said by `--set`. Throws like `validate`. */
export function fromSettings (converter: string, rules: Rules, settings: Record<string, string>): Parameters {
  const params: Parameters = {}
  for (const [key, value] of Object.entries(settings)) params[key] = known(converter, rules, key).parse(value)
  return validate(converter, rules, params)
}

function known (converter: string, rules: Rules, key: string): Rule {
  const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
  if (rule != null) return rule
  const names = Object.keys(rules)
  const nearest = names.map(name => ({ name, distance: editDistance(key, name) })).toSorted((a, b) => a.distance - b.distance)[0]
  const hint = nearest == null
    ? 'it takes no settings'
    : nearest.distance <= Math.max(2, key.length / 2) ? `did you mean '${nearest.name}'?` : `it takes ${names.join(', ')}`
  throw new ConversionError('bad-parameters', `${converter}: unknown setting '${key}'; ${hint}`, { key, ...(nearest == null ? {} : { nearest: nearest.name }) })
}

function printed (value: unknown): string {
  const shown = typeof value === 'string' ? `'${value}'` : String(value)
  return shown.length > 60 ? `${shown.slice(0, 60)}...` : shown
}

/** Levenshtein distance; keys longer than 64 characters are cut, they resemble nothing. */
function editDistance (a: string, b: string): number {
  const [left, right] = [a.slice(0, 64), b.slice(0, 64)]
  let row = Array.from({ length: right.length + 1 }, (_, i) => i)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}
