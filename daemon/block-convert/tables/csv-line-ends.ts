/**
 * One kind of line end for the engine. In a table of a single column an empty line is a row, and DuckDB, which decides on one
 * kind of line end per file, then makes two rows of `\r\n` among `\n`. With more columns empty lines are skipped and it does
 * not matter. So such a block is rewritten, which costs nothing for all others.
 */
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import type { TableParameters } from './schema.ts'

const LF = 10
const CR = 13

/** Whether a block must be rewritten before the engine reads it. */
export async function needsOneLineEnd (path: string, params: TableParameters): Promise<boolean> {
  if (params.source.format !== 'csv' || params.columns.length > 1) return false
  for await (const chunk of createReadStream(path)) if ((chunk as Buffer).includes(CR)) return true
  return false
}

/** Copies a block with `\n` for every line end outside quotes, and gives the copy's size. A block fits in memory, as its converter's limits demand. */
export async function copyWithOneLineEnd (from: string, to: string, quote: string): Promise<number> {
  const bytes = await readFile(from)
  const quoteByte = quote.charCodeAt(0)
  let length = 0
  // A quote opens a field only where the field begins, and with one column that is where the line begins.
  let lineStart = true
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
    if (byte === quoteByte && lineStart) inQuotes = true
    lineStart = byte === CR || byte === LF
    if (byte === CR && bytes[i + 1] === LF) i++
    bytes[length++] = lineStart ? LF : byte
  }
  await writeFile(to, bytes.subarray(0, length), { flag: 'wx', mode: 0o600 })
  return length
}
