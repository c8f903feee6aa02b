/** A finished job in a few lines, for a person. */
import { basename } from 'node:path'
import type { JobReport } from '../../daemon/coordinator/index.ts'
import { styled } from './terminal.ts'
import { count, formatBytes, formatSeconds } from './units.ts'

export interface SummaryOptions {
  /** What the input and the output are called, where they are not files of the user. */
  from?: string
  to?: string
  /** The first line only. */
  short?: boolean
  stream?: NodeJS.WriteStream
}

export function summary (report: JobReport, { from, to, short = false, stream = process.stdout }: SummaryOptions = {}): string {
  const { inputs, outputs, blocks, check, workers } = report
  const output = outputs[0]
  const bytes = inputs.reduce((sum, input) => sum + input.bytes, 0)
  const names = from ?? (inputs.length === 1 ? basename(inputs[0]?.path ?? '') : count(inputs.length, 'input'))
  const again = blocks.redispatched > 0 ? `, ${count(blocks.redispatched, 'block')} sent again` : ''
  const rejected = blocks.rejected > 0 ? `, ${count(blocks.rejected, 'wrong result')} thrown away` : ''
  const where = blocks.remote === 0 ? 'here' : blocks.local === 0 ? `on ${count(workers.filter(worker => worker.blocks > 0).length, 'other node')}` : `${blocks.local} here and ${blocks.remote} on ${count(workers.filter(({ peer, blocks: done }) => peer !== 'local' && done > 0).length, 'other node')}`
  const first = `${styled('green', '✓', stream)} ${names} → ${to ?? output?.path ?? ''}  ${styled('dim', `${formatBytes(bytes)} → ${formatBytes(output?.bytes ?? 0)} in ${formatSeconds(report.seconds)}`, stream)}`
  return short ? first : `${first}\n  ${count(blocks.total, 'block')} ${where}${again}${rejected}; ${checked(check, blocks.total)}`
}

function checked (check: JobReport['check'], total: number): string {
  if (check.blocksChecked === 0) return 'no block compared with its source'
  const share = check.blocksChecked >= total ? 'every block' : `${check.blocksChecked} of ${total} blocks`
  const found = check.bound === 0 && check.distance === 0 ? 'equal' : `distance at most ${check.distance} (bound ${check.bound})`
  return `${share} compared with the source: ${found} (${check.equivalence})`
}
