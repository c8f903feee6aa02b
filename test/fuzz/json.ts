/** JSON with its numbers as they stand in the text, by the platform's own parser. */

export class JsonNumber {
  readonly text: string
  constructor (text: string) {
    this.text = text
  }
}

/** The last of several equal keys counts, as everywhere in JavaScript. */
export class JsonObject {
  readonly entries: Map<string, Json>
  constructor (entries: Map<string, Json>) {
    this.entries = entries
  }
}

export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject

/** @throws SyntaxError */
export function parseJson (text: string): Json {
  const reviver = (_key: string, value: unknown, context: { source?: string }): unknown => {
    if (typeof value === 'number') return new JsonNumber(context.source ?? String(value))
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber) && !(value instanceof JsonObject) ? new JsonObject(new Map(Object.entries(value as Record<string, Json>))) : value
  }
  return JSON.parse(text, reviver as (this: unknown, key: string, value: unknown) => unknown) as Json
}
