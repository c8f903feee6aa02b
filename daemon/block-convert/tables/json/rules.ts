/**
 * Which JSON values a column's type holds exactly. They are proved for every value while the input is cut into blocks: an engine's typed
 * read silently makes a number of `"5"`, rounds `1.5` for an integer column, and drops keys it was not told of.
 *
 * | type | JSON values, and null |
 * |---|---|
 * | BIGINT | integer numbers within 64 bits, no `-0` |
 * | DOUBLE | numbers that are what the shortest form of their double says; with `fractions=double` all that are finite |
 * | DECIMAL(p,s) | plain decimal numbers by the rules of `lexical.ts`, no signed zero |
 * | VARCHAR | strings |
 * | BOOLEAN | `true` and `false` |
 * | DATE, TIME, TIMESTAMP, TIMESTAMPTZ | strings, by the rules of `lexical.ts`. Never inferred |
 * | JSON | anything |
 * | LIST | arrays of what its elements hold |
 * | STRUCT | objects of its fields, none twice, any missing (which is null), no other |
 *
 * A column whose type the user gave takes signed zeros; they lose their sign.
 */
import { lexicalRule } from '../lexical.ts'
import { isNegativeZero, isSignedZero, keepsDouble, keepsValues } from './numbers.ts'
import { CLOSE_LIST, CLOSE_OBJECT, NULL, OPEN_LIST, OPEN_OBJECT, QUOTE, type JsonScanner } from './text.ts'
import { typeName, type ColumnType } from '../types.ts'

/** What was noticed about values that are taken. */
export interface Noticed {
  /** The engine would round a number if it read it as one. */
  hard: boolean
  /** Numbers that become another number, as the user allows. */
  rounded: number
}

/** Reads one value; false if it is none of the type, and the scanner then stands anywhere in it. Throws JsonSyntaxError. */
export type Rule = (json: JsonScanner, noticed: Noticed) => boolean

export interface RuleOptions {
  /** Doubles may round. */
  rounding: boolean
  /** The user gave the type. */
  fixed: boolean
}

export function ruleOf (type: ColumnType, options: RuleOptions): Rule {
  const rule = valueRule(type, options)
  return (json, noticed) => {
    if (json.peek() !== NULL) return rule(json, noticed)
    json.literal()
    return true
  }
}

/** Of values that are not null. */
function valueRule (type: ColumnType, options: RuleOptions): Rule {
  switch (type.kind) {
    case 'VARCHAR': return json => {
      if (json.peek() !== QUOTE) return false
      json.string()
      return true
    }
    case 'BOOLEAN': return json => {
      const code = json.peek()
      if (code !== 116 && code !== 102) return false
      json.literal()
      return true
    }
    case 'BIGINT': {
      const rule = lexicalRule('BIGINT')
      const whole = number(lexeme => rule(lexeme) && (options.fixed || !isNegativeZero(lexeme)))
      return (json, noticed) => shortInteger(json) || whole(json, noticed)
    }
    case 'DECIMAL': {
      const rule = lexicalRule(typeName(type))
      return number(lexeme => rule(lexeme) && (options.fixed || !isSignedZero(lexeme)))
    }
    case 'DOUBLE': return number((lexeme, noticed) => {
      if (isNegativeZero(lexeme)) noticed.hard = true
      if (keepsDouble(lexeme)) return true
      if (!options.rounding || !Number.isFinite(Number(lexeme))) return false
      noticed.rounded++
      return true
    })
    case 'JSON': return (json, noticed) => {
      json.peek()
      const from = json.position
      json.skip()
      if (!noticed.hard && !keepsValues(json.text.slice(from, json.position))) noticed.hard = true
      return true
    }
    case 'LIST': return list(ruleOf(type.element!, options))
    case 'STRUCT': return struct(type.fields!.map(field => [field.name, ruleOf(field.type, options)]))
    case 'DATE': case 'TIME': case 'TIMESTAMP': case 'TIMESTAMPTZ': {
      const rule = lexicalRule(type.kind)
      return json => json.peek() === QUOTE && rule(json.string())
    }
    // No source has it.
    default: return () => false
  }
}

function number (holds: (lexeme: string, noticed: Noticed) => boolean): Rule {
  return (json, noticed) => json.isNumber(json.peek()) && holds(json.number(), noticed)
}

function list (element: Rule): Rule {
  return (json, noticed) => {
    if (json.peek() !== OPEN_LIST) return false
    if (json.enter(CLOSE_LIST)) do if (!element(json, noticed)) return false; while (json.more(CLOSE_LIST))
    return true
  }
}

function struct (fields: Array<[string, Rule]>): Rule {
  const index = new Map(fields.map(([name], i) => [name, i]))
  const rules = fields.map(([, rule]) => rule)
  // As they are usually written, and in their usual order.
  const keys = fields.map(([name]) => `${JSON.stringify(name)}:`)
  return (json, noticed) => {
    if (json.peek() !== OPEN_OBJECT) return false
    if (!json.enter(CLOSE_OBJECT)) return true
    // A struct may stand in itself by way of a list, so nothing is kept between calls.
    const seen: boolean[] = []
    let next = 0
    do {
      json.peek()
      const key = keys[next]
      let at: number | undefined = next
      if (key != null && json.text.startsWith(key, json.position)) json.position += key.length
      else at = index.get(json.key())
      if (at == null || seen[at] === true) return false
      seen[at] = true
      next = at + 1
      if (!rules[at]!(json, noticed)) return false
    } while (json.more(CLOSE_OBJECT))
    return true
  }
}

/** Digits that fit 64 bits whatever they are. */
const SAFE_DIGITS = 18

/** Passes over an integer that needs no second look; the scanner stays where it is if there is none. */
function shortInteger (json: JsonScanner): boolean {
  json.peek()
  const { text, position } = json
  const first = text.charCodeAt(position) === 45 ? position + 1 : position
  let i = first
  let code = text.charCodeAt(i)
  while (code >= 48 && code <= 57) code = text.charCodeAt(++i)
  if (i === first || i - first > SAFE_DIGITS || code === 46 || code === 101 || code === 69) return false
  if (text.charCodeAt(first) === 48 && (i - first > 1 || first > position)) return false
  json.position = i
  return true
}
