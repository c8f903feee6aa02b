/** Where words go: data to standard output, everything else to standard error; colour only where a person looks. */
import { styleText } from 'node:util'
import type { Failure } from './failure.ts'

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

/** News for a person, never data. */
export function tell (text: string): void {
  process.stderr.write(`${text}\n`)
}

export function printFailure (failure: Failure, json: boolean): void {
  if (json) printJson(failure)
  tell(`${styled('red', 'weft:')} ${failure.message}`)
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
