/** A finished job in a few lines, for a person. */
import { basename } from 'node:path'
import type { Note } from '../../daemon/block-convert/index.ts'
import type { JobReport } from '../../daemon/coordinator/index.ts'
import { styled } from './terminal.ts'
import { count, formatBytes, formatSeconds } from './units.ts'

/** Notes that are shown; a person reads no more, and all are in `--json`. */
const NOTES_SHOWN = 5
const NOTES_SHOWN_SHORT = 1
/** Code of the note that stands for those a report has no place for. */
const MORE_NOTES = 'more-notes'

export interface SummaryOptions {
  /** What the input and the output are called, where they are not files of the user. */
  from?: string
  to?: string
  /** The first line and a note only. */
  short?: boolean
  stream?: NodeJS.WriteStream
}

export function summary (report: JobReport, { from, to, short = false, stream = process.stdout }: SummaryOptions = {}): string {
  const { inputs, outputs, blocks, check, workers } = report
  const output = outputs[0]
  const bytes = inputs.reduce((sum, input) => sum + input.bytes, 0)
  const names = from ?? (inputs.length === 1 ? basename(inputs[0]?.path ?? '') : count(inputs.length, 'input'))
  const again = blocks.redispatched > 0 ? `, ${count(blocks.redispatched, 'block')} sent again` : ''
  const redone = (blocks.redone ?? 0) > 0 ? `, ${blocks.redone} converted again since types changed` : ''
  const rejected = blocks.rejected > 0 ? `, ${count(blocks.rejected, 'wrong result')} thrown away` : ''
  const where = blocks.remote === 0 ? 'here' : blocks.local === 0 ? `on ${count(workers.filter(worker => worker.blocks > 0).length, 'other node')}` : `${blocks.local} here and ${blocks.remote} on ${count(workers.filter(({ peer, blocks: done }) => peer !== 'local' && done > 0).length, 'other node')}`
  const first = `${styled('green', '✓', stream)} ${names} → ${to ?? output?.path ?? ''}  ${styled('dim', `${formatBytes(bytes)} → ${formatBytes(output?.bytes ?? 0)} in ${formatSeconds(report.seconds)}`, stream)}`
  const lines = short ? [first] : [first, `  ${count(blocks.total, 'block')} ${where}${again}${redone}${rejected}; ${checked(check, blocks.total)}`]
  // An older daemon may be running: its reports have none.
  const told = noteLines(report.notes ?? [], { shown: short ? NOTES_SHOWN_SHORT : NOTES_SHOWN, mark: `${styled('dim', 'note:', stream)} ` })
  return [...lines, ...told.map(line => `  ${line}`)].join('\n')
}

/** A line per note, and one for those beyond `shown`. Names of columns and files are in them: no character of theirs may move the cursor. */
export function noteLines (notes: Note[], { shown = NOTES_SHOWN, mark = '' }: { shown?: number, mark?: string } = {}): string[] {
  const told = notes.filter(({ code }) => code !== MORE_NOTES)
  const untold = notes.reduce((sum, { code, count: more = 0 }) => code === MORE_NOTES ? sum + more : sum, Math.max(0, told.length - shown))
  const lines = told.slice(0, shown).map(({ message }) => mark + message.replaceAll(/\p{Cc}+/gu, ' '))
  return untold > 0 ? [...lines, `... and ${untold} more, see --json`] : lines
}

function checked (check: JobReport['check'], total: number): string {
  if (check.blocksChecked === 0) return 'no block compared with its source'
  const share = check.blocksChecked >= total ? 'every block' : `${check.blocksChecked} of ${total} blocks`
  const found = check.bound === 0 && check.distance === 0 ? 'equal' : `distance at most ${check.distance} (bound ${check.bound})`
  return `${share} compared with the source: ${found} (${check.equivalence})`
}
