import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { noteLines, summary } from '../../../cli/lib/summary.ts'
import type { Note } from '../../../daemon/block-convert/index.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'
import { report } from '../gateway/fake-node.ts'

const plain = new PassThrough() as unknown as NodeJS.WriteStream
const notes = (count: number): Note[] => Array.from({ length: count }, (_, i) => ({ code: 'x', message: `note ${i}` }))
const done = (more: Partial<JobReport>): JobReport => report('j', { state: 'done', outputs: [{ path: '/o.parquet', mediaType: 'x', bytes: 2000, cid: 'c' }], ...more })

describe('cli/summary', () => {
  it('shows a handful of notes after the result, and says how many more there are', () => {
    assert.deepEqual(noteLines([]), [])
    assert.deepEqual(noteLines(notes(5)), ['note 0', 'note 1', 'note 2', 'note 3', 'note 4'])
    assert.deepEqual(noteLines(notes(7)).slice(4), ['note 4', '... and 2 more, see --json'])
    assert.deepEqual(noteLines([...notes(63), { code: 'more-notes', message: 'there are 900 more', count: 900 }]).at(-1), '... and 958 more, see --json')
    const lines = summary(done({ notes: notes(6) }), { stream: plain }).split('\n')
    assert.equal(lines.length, 2 + 6)
    assert.deepEqual([lines[2], lines.at(-1)], ['  note: note 0', '  ... and 1 more, see --json'])
  })

  it('one output of several has one note', () => {
    assert.deepEqual(summary(done({ notes: notes(3) }), { stream: plain, short: true }).split('\n').slice(1), ['  note: note 0', '  ... and 2 more, see --json'])
  })

  it('a name in a note cannot move the cursor or begin a line', () => {
    assert.deepEqual(noteLines([{ code: 'x', message: 'column \'a\x1b[2J\nb\' became text' }]), ['column \'a [2J b\' became text'])
  })

  it('says what was converted again since types changed, apart from what was sent again', () => {
    const blocks = { total: 9, done: 9, local: 9, remote: 0, memo: 0, redispatched: 1, hedged: 0, rejected: 0, redone: 4, restored: 0 }
    assert.match(summary(done({ blocks }), { stream: plain }), /9 blocks here, 1 block sent again, 4 converted again since types changed;/)
  })

  it('reads a report of an older daemon', () => {
    const { notes: none, epochs, ...old } = done({})
    const { redone, ...blocks } = old.blocks
    assert.equal(summary({ ...old, blocks } as unknown as JobReport, { stream: plain }).split('\n').length, 2, `${none.length} ${epochs} ${redone}`)
  })
})
