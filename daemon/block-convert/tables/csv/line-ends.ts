/**
 * One kind of line end for the engine. DuckDB takes `\n` and `\r\n` mixed in one file, but not a lone `\r` among them; and in
 * a table of one column, where an empty line is a row, it makes two rows of `\r\n` among `\n`. The splitter marks such
 * blocks (`lineEnds: 'mixed'`) and they are rewritten before the engine reads them; all others cost nothing.
 */
import { readFile, writeFile } from 'node:fs/promises'
import type { Dialect } from '../schema.ts'

const LF = 10
const CR = 13

/** Copies a block with `\n` for every line end outside quotes, and gives the copy's size. A block fits in memory, as its converter's limits demand. */
export async function copyWithOneLineEnd (from: string, to: string, { delimiter, quote }: Dialect): Promise<number> {
  const bytes = await readFile(from)
  const quoteByte = quote.charCodeAt(0)
  const delimiterByte = delimiter.charCodeAt(0)
  let length = 0
  // A quote opens a field only where the field begins.
  let fieldStart = true
  let inQuotes = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (inQuotes) {
      bytes[length++] = byte
      if (byte === quoteByte) {
        // A doubled quote closes and opens again at once.
        if (bytes[i + 1] === quoteByte) bytes[length++] = bytes[++i]!
        else inQuotes = false
      }
      continue
    }
    if (byte === quoteByte && fieldStart) inQuotes = true
    const lineEnd = byte === CR || byte === LF
    fieldStart = lineEnd || byte === delimiterByte
    if (byte === CR && bytes[i + 1] === LF) i++
    bytes[length++] = lineEnd ? LF : byte
  }
  await writeFile(to, bytes.subarray(0, length), { flag: 'wx', mode: 0o600 })
  return length
}
