/**
 * DuckDB as the engine of table conversions: a fresh in-memory database per block, locked down before it sees anything of
 * the requester's. Paths, names and types reach SQL only through `identifier`, `literal` and the type names `parameters.ts` let pass;
 * what each format reads and writes is in its own folder.
 */
import { stat } from 'node:fs/promises'
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { ENGINE_MEMORY_MIN, PROGRESS_MS } from '../constants.ts'
import { ConversionError } from '../../errors.ts'
import type { EngineTask } from '../format.ts'
import type { Column } from '../schema.ts'

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
 * Opens an engine, lets `work` use it, and closes it; gives what `work` gives. Throws ConversionError: `unsupported` for values the target
 * cannot hold, `bad-input` for malformed JSON, else `engine`; and the signal's reason if that fired.
 */
export async function withEngine<T> (output: string, columns: Column[], init: EngineInit, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
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
    return await work(connection)
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

/** What an engine's error is to a user; `columns` are those that `refuseWhen` numbered. Others pass through. */
export function engineError (error: unknown, columns: Column[]): unknown {
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

/** Copies a query's rows to `task.output`; `options` as in `(FORMAT parquet, ...)`. Gives the rows written. */
export async function copyOut (task: EngineTask, query: string, options: string): Promise<number> {
  const result = await task.connection.runAndReadAll(`COPY (${query}) TO ${literal(task.output)} ${options}`)
  return Number(result.getRows()[0]?.[0] ?? 0)
}

/** SQL that gives `value`, or ends the conversion with "column X holds `what`" where `when` is true. */
export function refuseWhen (when: string, column: number, what: string, value: string): string {
  return `CASE WHEN ${when} THEN error(${literal(`${OWN_ERROR}${column}:${what}`)}) ELSE ${value} END`
}
