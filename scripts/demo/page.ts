/** How the demo looks: numbered steps, indented facts, one line per finding. */
import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const styled = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout })

export const dim = (text: string): string => styled('dim', text)
export const bold = (text: string): string => styled('bold', text)

let steps = 0

export function title (text: string, below: string): void {
  console.log(`\n${bold(text)}\n${dim(below)}`)
}

export function step (text: string): void {
  console.log(`\n${bold(`${++steps}. ${text}`)}`)
}

export function fact (text: string): void {
  console.log(`${process.stdout.isTTY ? '\r\u001b[K' : ''}   ${text}`)
}

export function command (text: string): void {
  console.log(`   ${dim('$')} ${text}`)
}

/** A line that is written over by the next one; only where a person looks. */
export function live (text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K   ${dim(text)}`)
}

/** A thing the demo promises to show; false makes it fail. */
export function finding (held: boolean, text: string): boolean {
  console.log(`   ${held ? styled('green', '✓') : styled('red', '✗')} ${text}`)
  return held
}

/** Blocks as a row of boxes: whose results count, and what one held when it was killed. */
export function row (name: string, done: number, total: number, note = ''): void {
  const width = 40
  const boxes = total === 0 ? 0 : Math.max(done > 0 ? 1 : 0, Math.round(done / total * width))
  console.log(`   ${name.padEnd(4)} ${styled('cyan', '■'.repeat(boxes))}${boxes > 0 ? ' ' : ''}${done} ${done === 1 ? 'block' : 'blocks'}${note === '' ? '' : `  ${styled('yellow', note)}`}`)
}

export const list = (numbers: number[]): string => numbers.length <= 8 ? numbers.join(', ') : `${numbers.slice(0, 8).join(', ')} and ${numbers.length - 8} more`
