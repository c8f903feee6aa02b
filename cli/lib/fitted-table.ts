/** Tables that fit a terminal: what matters least is left out first, and only then is anything cut. Pure but for the stream it asks. */
import { TABLE_WIDTH } from './constants.ts'
import { shown } from './names.ts'
import { table } from './terminal.ts'

export interface Column<T> {
  title: string
  cell: (row: T) => string
  /** Numbers end below each other. */
  right?: boolean
  /** Never cut, however wide: what is copied from it must be whole. */
  whole?: boolean
  /** May be left out; the highest goes first. */
  spare?: number
}

const GAP = 2
/** A column is not cut below this: less says nothing. */
const CELL_MIN = 8

/** Terminal's width; without one, what fits a usual one. */
export const widthOf = (stream: NodeJS.WriteStream): number => stream.isTTY && stream.columns > 0 ? stream.columns : TABLE_WIDTH

/** Text of other nodes is in it: none of it moves the cursor. */
export function fittedTable<T> (columns: Array<Column<T>>, rows: T[], width: number = widthOf(process.stdout)): string {
  let kept = columns.map(column => ({ ...column, cells: rows.map(row => shown(column.cell(row))) }))
  const widths = (): number[] => kept.map(({ title, cells }) => Math.max(title.length, ...cells.map(cell => cell.length)))
  const total = (): number => widths().reduce((sum, one) => sum + one + GAP, -GAP)
  while (total() > width) {
    const least = Math.max(...kept.map(({ spare = 0 }) => spare))
    if (least === 0) break
    kept = kept.filter(({ spare = 0 }) => spare !== least)
  }
  for (let over = total() - width; over > 0; over = total() - width) {
    const all = widths().map((width, index) => kept[index]?.whole === true ? 0 : width)
    const widest = all.indexOf(Math.max(...all))
    const room = Math.max(CELL_MIN, (all[widest] as number) - over)
    if (room >= (all[widest] as number)) break
    kept = kept.map((column, index) => index === widest ? { ...column, title: cut(column.title, room), cells: column.cells.map(cell => cut(cell, room)) } : column)
  }
  const final = widths()
  const aligned = kept.map(({ title, cells, right = false }, index) => right ? [title, ...cells].map(text => text.padStart(final[index] as number)) : [title, ...cells])
  const [head = [], ...body] = Array.from({ length: rows.length + 1 }, (_, row) => aligned.map(column => column[row] as string))
  return table(head, body)
}

const cut = (text: string, room: number): string => text.length <= room ? text : `${text.slice(0, room - 1)}…`
