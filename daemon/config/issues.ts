/** Turns what zod found into one line for a person: the key's path, what was expected, what was found, the nearest name. */
import type { z } from 'zod'
import { nearest } from './suggest.ts'

/** Keys whose value is never part of a message, an error's details or a listing. Join strings are not either, wherever they stand: they hold the secret. */
export const SECRET_KEYS = ['secret'] as const

export interface Issue {
  /** Dotted path of the key; empty for the whole. */
  path: string
  message: string
  details: Record<string, unknown>
}

/** The first issue; the others follow once it is mended. */
export function describeIssue (error: z.ZodError, tree: unknown, known: Iterable<string>): Issue {
  const issue = error.issues[0] as z.core.$ZodIssue
  const path = dotted(issue.path)
  if (issue.code === 'unrecognized_keys') return unknownKey(path, issue.keys[0] as string, [...known])
  const value = at(tree, issue.path)
  const found = withoutSecrets(path, value)
  const text = shown(found, found !== value)
  if (issue.code === 'invalid_union') return { path, message: `${path}: expected a whole number or "auto", found ${text}`, details: { found } }
  if (issue.code === 'custom') {
    return { path, message: issue.message.startsWith('expected') ? `${path}: ${issue.message}, found ${text}` : `${path} ${issue.message}`, details: { found } }
  }
  return { path, message: `${path === '' ? 'the configuration' : path}: ${expectation(issue)}, found ${text}`, details: { found } }
}

/** The value of the key at this dotted path as it may be shown: secrets and join strings in it become their length. */
export function withoutSecrets (path: string, value: unknown): unknown {
  if (value == null || value === '') return value
  const secret = (SECRET_KEYS as readonly string[]).includes(path)
  if (typeof value === 'string') return secret || value.includes('weft1-') ? `(${value.length} characters, not shown)` : value
  if (secret) return '(not shown)'
  if (typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(entry => withoutSecrets(path, entry))
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutSecrets(path === '' ? key : `${path}.${key}`, inner)]))
}

function expectation (issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type': return `expected ${{ int: 'a whole number', number: 'a number', string: 'text', boolean: 'true or false', array: 'a list', object: 'an object in braces' }[issue.expected as string] ?? issue.expected}`
    case 'too_small': return issue.origin === 'string' ? `expected at least ${issue.minimum} characters` : `expected ${issue.inclusive === false ? `more than ${issue.minimum}` : `${issue.minimum} or more`}`
    case 'too_big': return issue.origin === 'string' ? `expected at most ${issue.maximum} characters` : issue.origin === 'array' ? `expected at most ${issue.maximum} entries` : `expected ${issue.maximum} or less`
    case 'invalid_value': return `expected ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(value => JSON.stringify(value)).join(', ')}`
    default: return issue.message.charAt(0).toLowerCase() + issue.message.slice(1)
  }
}

function unknownKey (parent: string, key: string, known: string[]): Issue {
  const path = parent === '' ? key : `${parent}.${key}`
  const siblings = new Set(known.filter(name => parent === '' || name.startsWith(`${parent}.`)).map(name => name.slice(parent === '' ? 0 : parent.length + 1).split('.')[0] as string))
  const sibling = nearest(key, siblings)
  // A right name in the wrong place, or a path that is nearly right as a whole.
  const near = sibling != null ? (parent === '' ? sibling : `${parent}.${sibling}`) : known.find(name => name.split('.').at(-1) === key) ?? nearest(path, known)
  return { path, message: `unknown key '${path}'${near == null ? '' : `: did you mean '${near}'?`}`, details: near == null ? {} : { known: near } }
}

function dotted (path: PropertyKey[]): string {
  return path.map((key, index) => typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`).join('')
}

function at (tree: unknown, path: PropertyKey[]): unknown {
  let value = tree
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key]
  return value
}

function shown (value: unknown, bare: boolean): string {
  const text = value === undefined ? 'nothing' : bare && typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
