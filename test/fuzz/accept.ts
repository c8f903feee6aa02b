/** Whether what an independent reader found is what was written, by the stated rules of the conversions and nothing more lenient. */
import { parseType, type ColumnType } from '../../daemon/block-convert/tables/types.ts'
import { JsonNumber, JsonObject, parseJson, type Json } from './json.ts'
import type { Given } from './read.ts'
import { clockText, dateText, decimalText, exactNumber, momentText, NANOS, parseClock, parseDate, parseMoment, type Type, type Value } from './table.ts'

/** The type the product decided on, by its name; undefined where there is no such column. */
export function claim (name: string | undefined): ColumnType | undefined {
  return name == null ? undefined : parseType(name)
}

/**
 * A CSV field. `claimed` is the type the product decided on: only a type other than VARCHAR is a licence to write the same value
 * another way (`1.5` as `1.50`, `True` as `true`, `T` as a space).
 */
export function acceptsField (text: string | null, given: Given, claimed: ColumnType | undefined): boolean {
  if (text === null || given.is === 'null') return text === null && given.is === 'null'
  switch (given.is) {
    case 'field': return given.value === text || sameTyped(text, given.value, claimed)
    case 'text': return sameText(given, text) || sameTyped(text, given.value, claimed)
    case 'member': return typeof given.value === 'string' ? given.value === text || sameTyped(text, given.value, claimed) : given.value instanceof JsonNumber ? sameNumber(text, given.value.text) : typeof given.value === 'boolean' && text.toLowerCase() === String(given.value)
    case 'boolean': return text.toLowerCase() === String(given.value)
    case 'integer': return sameNumber(text, String(given.value))
    case 'decimal': return sameNumber(text, decimalText(given.value, given.scale))
    case 'float': return claimed?.kind === 'DOUBLE' && Object.is(Number(text), given.value)
    case 'date': return parseDate(text) === given.days
    case 'time': return parseClock(text) === given.nanos
    case 'moment': {
      const moment = parseMoment(text)
      return moment?.nanos === given.nanos && moment.zone === given.zone
    }
    default: return false
  }
}

const sameNumber = (a: string, b: string): boolean => {
  const value = exactNumber(a)
  return value !== undefined && value === exactNumber(b)
}

function sameTyped (a: string, b: string, claimed: ColumnType | undefined): boolean {
  switch (claimed?.kind) {
    case 'BIGINT':
    case 'DECIMAL': return sameNumber(a, b)
    case 'DOUBLE': return Object.is(Number(a), Number(b))
    case 'BOOLEAN': return /^(true|True|TRUE|false|False|FALSE)$/.test(a) && a.toLowerCase() === b
    case 'TIME': return parseClock(a) !== undefined && parseClock(a) === parseClock(b)
    case 'TIMESTAMP':
    case 'TIMESTAMPTZ': {
      const [one, other] = [parseMoment(a), parseMoment(b)]
      return one !== undefined && one.nanos === other?.nanos && one.zone === other.zone
    }
    default: return false
  }
}

/** A value of a JSON text. `absent`: keys a reader found missing are as good as null only inside of a STRUCT. */
export function acceptsJson (wanted: Json | undefined, given: Given, claimed: ColumnType | undefined): boolean {
  const missing = wanted === undefined || wanted === null
  if (missing || given.is === 'null' || given.is === 'absent') return missing && (given.is === 'null' || given.is === 'absent')
  const asText = claimed != null && ['JSON', 'STRUCT', 'MAP', 'LIST'].includes(claimed.kind)
  switch (given.is) {
    case 'member': return sameJson(wanted, given.value, claimed)
    case 'field': return asText ? sameJsonText(wanted, given.value, claimed) : typeof wanted === 'string' ? wanted === given.value || sameTyped(wanted, given.value, claimed) : acceptsScalar(wanted, given.value)
    case 'text': return asText ? sameJsonText(wanted, given.value, claimed) : typeof wanted === 'string' && sameText(given, wanted)
    case 'json': return sameJsonText(wanted, given.value, claimed)
    case 'boolean': return wanted === given.value
    case 'integer': return wanted instanceof JsonNumber && sameNumber(wanted.text, String(given.value))
    case 'decimal': return wanted instanceof JsonNumber && sameNumber(wanted.text, decimalText(given.value, given.scale))
    case 'float': return wanted instanceof JsonNumber && sameNumber(wanted.text, String(given.value)) && (given.value !== 0 || Object.is(given.value, Number(wanted.text)) || !/[.eE]/.test(wanted.text))
    case 'date':
    case 'time':
    case 'moment': return typeof wanted === 'string' && acceptsField(wanted, given, claimed)
    case 'list': return Array.isArray(wanted) && wanted.length === given.items.length && wanted.every((item, i) => acceptsJson(item, given.items[i]!, claimed?.element))
    case 'struct': return wanted instanceof JsonObject && given.fields.every(([name, field]) => acceptsJson(wanted.entries.get(name), field, fieldOf(claimed, name))) && [...wanted.entries].every(([name, value]) => value === null || given.fields.some(([field]) => field === name))
    default: return false
  }
}

function acceptsScalar (wanted: Json, text: string): boolean {
  return wanted instanceof JsonNumber ? sameNumber(wanted.text, text) : typeof wanted === 'boolean' && String(wanted) === text
}

function sameJsonText (wanted: Json, text: string, claimed?: ColumnType): boolean {
  try {
    return sameJson(wanted, parseJson(text), claimed)
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

/** Numbers by their exact value. In a STRUCT a key that is not there is null. */
export function sameJson (a: Json, b: Json, claimed?: ColumnType): boolean {
  if (a instanceof JsonNumber) return b instanceof JsonNumber && sameNumber(a.text, b.text)
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]!, claimed?.element))
  if (a instanceof JsonObject) {
    if (!(b instanceof JsonObject)) return false
    const struct = claimed?.kind === 'STRUCT'
    const keys = new Set([...a.entries.keys(), ...b.entries.keys()])
    return [...keys].every(key => {
      const [one, other] = [a.entries.get(key), b.entries.get(key)]
      if (one === undefined || other === undefined) return struct && (one ?? null) === null && (other ?? null) === null
      return sameJson(one, other, fieldOf(claimed, key))
    })
  }
  return a === b
}

const fieldOf = (claimed: ColumnType | undefined, name: string): ColumnType | undefined => claimed?.fields?.find(field => field.name === name)?.type

/** Some readers drop a byte order mark that begins a text. */
const sameText = (given: Given & { is: 'text' }, wanted: string): boolean => given.value === wanted || (given.unmarked === true && `\ufeff${given.value}` === wanted)

const blobOfText = (text: string): string => text.replaceAll(/\\x([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

/** A value of a source that has types. */
export function acceptsValue (type: Type, value: Value, given: Given): boolean {
  if (value === null || given.is === 'null' || given.is === 'absent') return value === null && given.is === 'null'
  if (given.is === 'field') return acceptsText(type, value, given.value)
  if (given.is === 'member') return acceptsMember(type, value, given.value)
  switch (type.kind) {
    case 'boolean': return given.is === 'boolean' && given.value === value
    case 'integer': return given.is === 'integer' && given.value === value
    case 'float': return given.is === 'float' && Object.is(type.bits === 32 ? Math.fround(given.value) : given.value, value)
    case 'decimal': return given.is === 'decimal' && given.value === value && given.scale === type.scale
    case 'date': return given.is === 'date' && given.days === value
    case 'time': return given.is === 'time' && given.nanos === (value as bigint) * 1000n
    case 'timestamp': return given.is === 'moment' && given.nanos === (value as bigint) * NANOS[type.unit] && given.zone === type.zone
    case 'interval': {
      const [months, days, micros] = value as bigint[]
      return given.is === 'interval' && given.months === months && given.days === days && given.nanos === micros! * 1000n
    }
    case 'text': return given.is === 'text' && sameText(given, value as string)
    case 'json': return (given.is === 'json' || given.is === 'text') && sameJsonText(parseJson(value as string), given.value)
    case 'blob': return given.is === 'blob' && Buffer.compare(given.value, value as Uint8Array) === 0
    case 'uuid': return given.is === 'blob' ? Buffer.from(given.value).toString('hex') === (value as string).replaceAll('-', '') : (given.is === 'uuid' || given.is === 'text') && given.value === value
    case 'list': return given.is === 'list' && given.items.length === (value as Value[]).length && given.items.every((item, i) => acceptsValue(type.element, (value as Value[])[i]!, item))
    case 'struct': return given.is === 'struct' && given.fields.length === type.fields.length && given.fields.every(([name, field], i) => name === type.fields[i]!.name && acceptsValue(type.fields[i]!.type, (value as Value[])[i]!, field))
    case 'map': return given.is === 'map' && given.pairs.length === (value as Value[][]).length && (value as Value[][]).every(([key, item], i) => (given.unordered === true ? given.pairs : [given.pairs[i]!]).some(([k, v]) => acceptsValue(type.key, key!, k) && acceptsValue(type.value, item!, v)))
  }
}

/** As a CSV field. */
function acceptsText (type: Type, value: NonNullable<Value>, text: string): boolean {
  switch (type.kind) {
    case 'boolean': return text === String(value)
    case 'integer': return text === String(value)
    case 'float': return acceptsFloat(type.bits, value as number, text)
    case 'decimal': return sameNumber(text, decimalText(value as bigint, type.scale))
    case 'date': return text === dateText(value as bigint)
    case 'time': return text === clockText((value as bigint) * 1000n)
    case 'timestamp': return text === `${momentText((value as bigint) * NANOS[type.unit])}${type.zone ? '+00' : ''}`
    case 'interval': return text === intervalText(value as bigint[])
    case 'text':
    case 'uuid': return text === value
    case 'json': return sameJsonText(parseJson(value as string), text)
    case 'blob': return blobOfText(text) === Buffer.from(value as Uint8Array).toString('latin1')
    default: try {
      return acceptsMember(type, value, parseJson(text))
    } catch (error) {
      if (error instanceof SyntaxError) return false
      throw error
    }
  }
}

function acceptsFloat (bits: 32 | 64, value: number, text: string): boolean {
  const special: Record<string, number> = { nan: NaN, NaN, inf: Infinity, Infinity, '-inf': -Infinity, '-Infinity': -Infinity }
  const number = special[text] ?? (exactNumber(text) === undefined ? undefined : Number(text))
  return number !== undefined && Object.is(bits === 32 ? Math.fround(number) : number, value)
}

/** As a value in JSON. */
function acceptsMember (type: Type, value: NonNullable<Value>, json: Json): boolean {
  switch (type.kind) {
    case 'boolean': return json === value
    case 'integer':
    case 'decimal': return json instanceof JsonNumber && acceptsText(type, value, json.text)
    case 'float': return json instanceof JsonNumber ? acceptsText(type, value, json.text) : typeof json === 'string' && !Number.isFinite(value) && acceptsText(type, value, json)
    case 'json': return sameJson(parseJson(value as string), json)
    case 'list': return Array.isArray(json) && json.length === (value as Value[]).length && json.every((item, i) => acceptsInside(type.element, (value as Value[])[i]!, item))
    case 'struct': return json instanceof JsonObject && json.entries.size === type.fields.length && type.fields.every(({ name, type: inner }, i) => acceptsInside(inner, (value as Value[])[i]!, json.entries.get(name)))
    case 'map': {
      const pairs = value as Value[][]
      return json instanceof JsonObject && json.entries.size === pairs.length && pairs.every(([key, item]) => type.key.kind === 'text' && acceptsInside(type.value, item!, json.entries.get(key as string)))
    }
    default: return typeof json === 'string' && acceptsText(type, value, json)
  }
}

function acceptsInside (type: Type, value: Value, json: Json | undefined): boolean {
  if (value === null || json === null || json === undefined) return value === null && json === null
  return acceptsMember(type, value, json)
}

/** As DuckDB writes intervals. */
function intervalText ([months = 0n, days = 0n, micros = 0n]: bigint[]): string {
  const parts: string[] = []
  const add = (count: bigint, unit: string): void => { if (count !== 0n) parts.push(`${count} ${unit}${count === 1n ? '' : 's'}`) }
  add(months / 12n, 'year')
  add(months % 12n, 'month')
  add(days, 'day')
  if (micros !== 0n || parts.length === 0) parts.push(clockText(micros * 1000n))
  return parts.join(' ')
}
