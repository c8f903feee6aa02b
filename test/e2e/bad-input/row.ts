/** One row of the bad-input table: what somebody has, what they type, and what must come of it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { Source } from '../../fuzz/arbitrary.ts'
import { readTable, unzstd, type CsvForm, type Given } from '../../fuzz/read.ts'
import { JsonNumber, JsonObject, type Json } from '../../fuzz/json.ts'
import { clockText, dateText, decimalText, momentText } from '../../fuzz/table.ts'

/** A cell as a text (null is missing), whatever type it has. */
export type Cell = string | null

export interface Report {
  state: string
  epochs: number
  notes: Array<{ code: string, message: string, columns?: string[], count?: number }>
  blocks: { total: number, remote: number, local: number, redone: number }
  outputs: Array<{ path: string }>
  error?: { code: string, message: string }
}

export interface Row {
  name: string
  /** Files and folders (names ending in `/`) in the folder it runs in; a function makes what is no plain content. */
  files: Record<string, string | Uint8Array | ((path: string) => void | Promise<void>)>
  /** Arguments of `weft convert`; `--local` or `--remote`, and `--json` come behind them. The output goes below `out/`. */
  args: string[]
  /** Bytes of standard input. */
  input?: string
  /** The exit code; 0 means that the output is there and right. */
  code: number
  /** For failures: what the one line on standard error contains. */
  says?: string | RegExp
  /** For successes: the output below `out/`, and what an independent reader finds in it. */
  output?: { name: string, format: Source, csv?: CsvForm, names: string[], rows: Cell[][] }
  /** Further claims about a successful run's report. */
  report?: (report: Report) => void
  /** What is left below `out/` afterwards. @default the output where there is one, otherwise nothing */
  left?: string[]
}

const DECODERS: Record<string, (bytes: Uint8Array) => Buffer> = { gz: gunzipSync, zst: bytes => unzstd(Buffer.from(bytes)), br: brotliDecompressSync }

/** The cells of a file, read by somebody else's reader; what is named `.gz`, `.zst` or `.br` is decoded first. */
export async function cellsOf (path: string, format: Source, csv?: CsvForm): Promise<{ names: string[], rows: Cell[][] }> {
  const decode = DECODERS[path.slice(path.lastIndexOf('.') + 1)]
  const folder = await mkdtemp(join(tmpdir(), 'weft-decoded-'))
  try {
    const plain = join(folder, 'plain')
    if (decode != null) await writeFile(plain, decode(await readFile(path)))
    const { names, rows } = await readTable(decode == null ? path : plain, format, csv)
    return { names, rows: rows.map(row => row.map(cell)) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function cell (given: Given): Cell {
  switch (given.is) {
    case 'null':
    case 'absent': return null
    case 'decimal': return decimalText(given.value, given.scale)
    case 'date': return dateText(given.days)
    case 'time': return clockText(given.nanos)
    case 'moment': return momentText(given.nanos) + (given.zone ? '+00' : '')
    case 'blob': return Buffer.from(given.value).toString('hex')
    case 'member': return typeof given.value === 'string' ? given.value : jsonText(given.value)
    case 'interval': return `${given.months} ${given.days} ${given.nanos}`
    case 'list': return `[${given.items.map(cell).join(',')}]`
    case 'struct': return `{${given.fields.map(([name, value]) => `${name}:${cell(value)}`).join(',')}}`
    case 'map': return `{${given.pairs.map(([key, value]) => `${cell(key)}:${cell(value)}`).join(',')}}`
    default: return String(given.value)
  }
}

function jsonText (value: Json): string {
  if (value instanceof JsonNumber) return value.text
  if (value instanceof JsonObject) return `{${[...value.entries].map(([key, inner]) => `${JSON.stringify(key)}:${jsonText(inner)}`).join(',')}}`
  return Array.isArray(value) ? `[${value.map(jsonText).join(',')}]` : JSON.stringify(value)
}

