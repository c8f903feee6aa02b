/**
 * DuckDB as the engine of table conversions: a fresh in-memory database per block, locked down before it sees anything of
 * the requester's, and the two halves of a COPY statement. Paths, names and types reach SQL only through `identifier`,
 * `literal` and the type names `parameters.ts` let pass.
 */
import { stat } from 'node:fs/promises'
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { ENGINE_MEMORY_MIN, PROGRESS_MS, RECORD_BYTES_MAX, ROW_GROUP_ROWS } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { Column, SourceForm, TargetForm } from './schema.ts'
import { parseType } from './types.ts'

/** DuckDB's own default for the longest line, bytes; more is asked for only if the file could hold such a line. */
const DEFAULT_LINE_BYTES = 2 * 1024 * 1024
/** DuckDB's own default for the largest JSON object, bytes. */
const DEFAULT_OBJECT_BYTES = 16 * 1024 * 1024

/** Begins the messages of errors our own SQL raises: what follows is `<column index>:<what>`. */
const OWN_ERROR = 'weft-value:'

/** An SQL identifier. The only place that quotes one. */
export function identifier (name: string): string {
  // A NUL would end the statement there.
  if (name.includes('\0')) throw new ConversionError('unsupported', `the column name ${JSON.stringify(name)} holds a NUL character, which the engine cannot take`, { column: name })
  return `"${name.replaceAll('"', '""')}"`
}

/** An SQL string literal. The only place that quotes one. */
export function literal (text: string): string {
  if (text.includes('\0')) throw new ConversionError('unsupported', 'a NUL character cannot be part of a name or a path here', { text: JSON.stringify(text) })
  return `'${text.replaceAll('\'', '\'\'')}'`
}

export interface EngineInit {
  /** The one folder it may use, for output and temporary files; an absolute path without symbolic links. */
  folder: string
  /** The one other file it may read. */
  input: string
  threads: number
  memoryBytes: number
  signal: AbortSignal
  /** Called with a growing number while it works. */
  progress: (done: number) => void
}

/**
 * Runs a COPY statement that writes `output`, and gives the number of rows it wrote. Throws ConversionError: `unsupported`
 * for values the target cannot hold, `bad-input` for malformed JSON, else `engine`; and the signal's reason if that fired.
 */
export async function runCopy (sql: string, output: string, columns: Column[], init: EngineInit): Promise<number> {
  init.signal.throwIfAborted()
  // Loaded on demand: only a process that converts carries the engine's 70 MB.
  const { DuckDBInstance } = await import('@duckdb/node-api')
  let instance: DuckDBInstance | undefined
  let connection: DuckDBConnection | undefined
  let timer: NodeJS.Timeout | undefined
  const interrupt = (): void => { connection?.interrupt() }
  try {
    instance = await DuckDBInstance.create(':memory:', {
      threads: String(init.threads),
      memory_limit: `${Math.max(init.memoryBytes, ENGINE_MEMORY_MIN)}B`,
      preserve_insertion_order: 'true',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      allow_community_extensions: 'false'
    })
    connection = await instance.connect()
    for (const setting of settings(init)) await connection.run(setting)
    init.signal.addEventListener('abort', interrupt)
    init.signal.throwIfAborted()
    timer = reportProgress(connection, output, init.progress)
    const result = await connection.runAndReadAll(sql)
    return Number(result.getRows()[0]?.[0] ?? 0)
  } catch (error) {
    if (init.signal.aborted) throw init.signal.reason
    throw engineError(error, columns)
  } finally {
    clearInterval(timer)
    init.signal.removeEventListener('abort', interrupt)
    connection?.closeSync()
    instance?.closeSync()
  }
}

/** In this order: after the last two nothing else can be opened, and no setting changed. */
function settings (init: EngineInit): string[] {
  return [
    'SET TimeZone = \'UTC\'',
    'SET enable_progress_bar = true',
    'SET enable_progress_bar_print = false',
    `SET temp_directory = ${literal(`${init.folder}/engine-temp`)}`,
    `SET allowed_directories = [${literal(init.folder)}]`,
    `SET allowed_paths = [${literal(init.input)}]`,
    'SET enable_external_access = false',
    'SET lock_configuration = true'
  ]
}

/** Progress is what was read (0 to 100 of DuckDB's own bar) plus what was written, in bytes: both only grow. */
function reportProgress (connection: DuckDBConnection, output: string, progress: (done: number) => void): NodeJS.Timeout {
  let most = 0
  return setInterval(() => {
    stat(output).then(info => info.size, () => 0 /* not created yet */).then(written => {
      const done = written + Math.max(0, connection.progress.percentage)
      if (done > most) {
        most = done
        progress(done)
      }
    }, () => {
      // The connection was closed between the tick and the answer: there is no progress left to report.
    })
  }, PROGRESS_MS)
}

function engineError (error: unknown, columns: Column[]): unknown {
  if (error instanceof ConversionError) return error
  const message = error instanceof Error ? error.message : String(error)
  const own = message.indexOf(OWN_ERROR)
  if (own >= 0) {
    const [index, what] = message.slice(own + OWN_ERROR.length).split(':')
    const column = columns[Number(index)]?.name ?? `#${index}`
    return new ConversionError('unsupported', `column '${column}' holds ${what}`, { column })
  }
  const line = message.split('\n')[0]!.trim()
  const json = /Malformed JSON in file .*?, at byte \d+ in (?:line|record\/value) (\d+): (.*)/.exec(line)
  if (json != null) return new ConversionError('bad-input', `malformed JSON near line ${json[1]} of the block: ${json[2]}`, { lineInBlock: Number(json[1]) })
  if (/No magic bytes found|too small to be a Parquet file|Parquet file/i.test(line) && /Invalid Input/.test(line)) return new ConversionError('bad-input', line)
  return new ConversionError('engine', `the table engine failed: ${line}`, { outOfMemory: /Out of Memory/i.test(line) })
}

/**
 * The columns of a block as a FROM item, named `c0`, `c1`, ...: names of the user's need to be distinct for the engine only
 * where they are keys.
 */
export function readSql (path: string, size: number, columns: Column[], source: SourceForm, threads: number, rows?: [number, number]): string {
  switch (source.format) {
    case 'csv': {
      const types = columns.map((column, i) => `c${i}: ${literal(typeName(column))}`).join(', ')
      const { dialect } = source
      // The buffer holds one line at least; left to itself, DuckDB would make it sixteen.
      const line = Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_LINE_BYTES, size)) + 1
      return `(SELECT * FROM read_csv(${literal(path)}, columns = {${types}}, header = ${dialect.header}, auto_detect = false, ` +
        `delim = ${literal(dialect.delimiter)}, quote = ${literal(dialect.quote)}, escape = ${literal(dialect.escape)}, nullstr = '', ` +
        // Records were proved by the splitter. Strict mode refuses mixed line ends, which are legal here.
        `allow_quoted_nulls = false, comment = '', strict_mode = false, max_line_size = ${line}, buffer_size = ${line}, parallel = ${threads > 1}))`
    }
    case 'ndjson': {
      const types = columns.map(column => `${literal(column.name)}: ${literal(typeName(column))}`).join(', ')
      const names = columns.map((column, i) => `${identifier(column.name)} AS c${i}`).join(', ')
      return `(SELECT ${names} FROM read_json(${literal(path)}, format = 'newline_delimited', records = 'true', columns = {${types}}, ` +
        `maximum_object_size = ${Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_OBJECT_BYTES, size))}))`
    }
    case 'parquet': {
      const names = columns.map((column, i) => `${identifier(column.name)} AS c${i}`).join(', ')
      if (rows == null) return `(SELECT ${names} FROM read_parquet(${literal(path)}))`
      const [first, end] = rows
      // A table may have a column of the name the engine gives its row numbers; skipping rows is slower, but needs no name.
      if (columns.some(column => column.name.toLowerCase() === 'file_row_number')) {
        return `(SELECT ${names} FROM read_parquet(${literal(path)}) LIMIT ${end - first} OFFSET ${first})`
      }
      return `(SELECT ${names} FROM read_parquet(${literal(path)}, file_row_number = true) WHERE file_row_number >= ${first} AND file_row_number < ${end})`
    }
  }
}

/** Columns by their own names, each guarded against what the target cannot hold. */
export function selectSql (columns: Column[], target: TargetForm): string {
  return columns.map((column, i) => `${guarded(`c${i}`, i, column, target)} AS ${identifier(column.name)}`).join(', ')
}

function guarded (value: string, index: number, column: Column, target: TargetForm): string {
  const { kind } = parseType(column.type)
  const refuse = (when: string, what: string): string => `CASE WHEN ${when} THEN error(${literal(`${OWN_ERROR}${index}:${what}`)}) ELSE ${value} END`
  if (target.format === 'csv' && (kind === 'VARCHAR' || kind === 'JSON')) {
    return refuse(`contains(${value}, chr(0))`, 'a NUL character, which CSV cannot hold')
  }
  if (target.format === 'ndjson') {
    if (kind === 'DOUBLE' || kind === 'FLOAT') return refuse(`NOT isfinite(${value})`, 'NaN or an infinity, which JSON cannot hold')
    // The engine would embed the text as a value and give its numbers another form where it must; a JSON column stays as it is.
  }
  return value
}

/** The target half of COPY. */
export function targetSql (target: TargetForm): string {
  switch (target.format) {
    case 'parquet': return `(FORMAT parquet, COMPRESSION ${target.compression}, ROW_GROUP_SIZE ${ROW_GROUP_ROWS})`
    case 'ndjson': return '(FORMAT json)'
    case 'csv': {
      const { delimiter, quote, escape, header } = target.dialect
      return `(FORMAT csv, HEADER ${header}, DELIMITER ${literal(delimiter)}, QUOTE ${literal(quote)}, ESCAPE ${literal(escape)}, NULLSTR '')`
    }
  }
}

function typeName (column: Column): string {
  // Throws for anything that is not in the closed list of types.
  parseType(column.type)
  return column.type
}
