/**
 * Where a text stops being JSON. The engine's own message gives a position for some mistakes and only a snippet for
 * others, and a person who mistyped a comma wants the line.
 */

/** A token at the present place: punctuation, a string, a number or a word. */
const TOKEN = /[\t\n\r ]*(?:([{}[\]:,])|("(?:[\u0020\u0021\u0023-\u005b\u005d-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y

type Expected = 'value' | 'first value' | 'key' | 'first key' | 'colon' | 'separator' | 'end'

/** Offset of the first character that does not fit; the length of the text if it ends too early. */
export function jsonFaultAt (text: string): number {
  const open: Array<'{' | '['> = []
  let expected: Expected = 'value'
  let offset = 0
  const afterValue = (): Expected => open.length === 0 ? 'end' : 'separator'
  for (;;) {
    TOKEN.lastIndex = offset
    const match = expected === 'end' ? null : TOKEN.exec(text)
    if (match == null) return offset + (/^[\t\n\r ]*/.exec(text.slice(offset))?.[0].length ?? 0)
    const [whole, mark, string, other] = match
    const at = offset + whole.length - (mark ?? string ?? other ?? '').length
    offset += whole.length
    const wantsValue = expected === 'value' || expected === 'first value'
    if (mark === '{' && wantsValue) {
      open.push('{')
      expected = 'first key'
    } else if (mark === '[' && wantsValue) {
      open.push('[')
      expected = 'first value'
    } else if (mark == null && wantsValue) {
      expected = afterValue()
    } else if (string != null && (expected === 'key' || expected === 'first key')) {
      expected = 'colon'
    } else if (mark === ':' && expected === 'colon') {
      expected = 'value'
    } else if (mark === ',' && expected === 'separator') {
      expected = open.at(-1) === '{' ? 'key' : 'value'
    } else if (closes(mark, open.at(-1), expected)) {
      open.pop()
      expected = afterValue()
    } else {
      return at
    }
  }
}

function closes (mark: string | undefined, inside: '{' | '[' | undefined, expected: Expected): boolean {
  if (inside === '{') return mark === '}' && (expected === 'separator' || expected === 'first key')
  return inside === '[' && mark === ']' && (expected === 'separator' || expected === 'first value')
}
