/** Where words go: data to standard output, everything else to standard error; colour only where a person looks. */
import { pipeline } from 'node:stream/promises'
import { styleText } from 'node:util'
import { EXIT } from './exit.ts'
import { Failure } from './failure.ts'
import { shown } from './names.ts'

type Style = Parameters<typeof styleText>[0]

/** Styled for a stream: plain when it is no terminal or `NO_COLOR` is set. */
export const styled = (style: Style, text: string, stream: NodeJS.WriteStream = process.stderr): string => styleText(style, text, { stream })

/** Data of the verb. */
export function print (text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson (value: unknown): void {
  print(JSON.stringify(value))
}

/** True while `pipeOut` has standard output: what happens to it is then told by its caller. */
let piping = false

/**
 * Data as it comes. Ends early, and well, where the reader has enough (`| head`): the caller can still clean up.
 * @throws Failure `output-unwritable`
 */
export async function pipeOut (source: AsyncIterable<Uint8Array>): Promise<void> {
  piping = true
  let broken: NodeJS.ErrnoException | undefined
  const note = (error: NodeJS.ErrnoException): void => { broken ??= error }
  process.stdout.on('error', note)
  try {
    await pipeline(source, process.stdout, { end: false })
  } catch (error) {
    if (broken?.code === 'EPIPE') return
    throw broken == null ? error : unwritable(broken)
  } finally {
    process.stdout.off('error', note)
    piping = false
  }
}

const unwritable = (error: NodeJS.ErrnoException): Failure => new Failure('output-unwritable', `cannot write to standard output: ${error.code === 'ENOSPC' ? 'no space left' : error.message}`, {}, { cause: error })

/** For errors of both streams: whoever read us has enough (`| head`), which is no failure; or cannot take it. */
export function endOfOutput (error: NodeJS.ErrnoException): void {
  if (piping) return
  if (error.code === 'EPIPE') process.exit(EXIT.done)
  try {
    printFailure(unwritable(error), false)
  } finally {
    process.exit(EXIT.failed)
  }
}

/** News for a person, never data. */
export function tell (text: string): void {
  process.stderr.write(`${text}\n`)
}

export function printFailure (failure: Failure, json: boolean): void {
  if (json) printJson(failure)
  // Names of files are in it, which may hold anything: it stays one line, and moves no cursor.
  tell(`${styled('red', 'weft:')} ${shown(failure.message)}`)
}

/** Columns wide enough for what is in them; the last one is left as it is. */
export function table (head: string[], rows: string[][]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map(row => (row[column] ?? '').length)))
  const line = (cells: string[]): string => cells.map((cell, column) => column === cells.length - 1 ? cell : cell.padEnd(widths[column] as number)).join('  ')
  return [styled('dim', line(head), process.stdout), ...rows.map(line)].join('\n')
}

/** Names and values below each other. */
export function fields (pairs: Array<[string, string]>): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${styled('dim', name.padEnd(width), process.stdout)}  ${value}`).join('\n')
}
