import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { NEWS_MAX, NEWS_WINDOW_MS, QUIET_MS, QUIET_WORKING_MS, WAITING_AGAIN_MS } from '../../../cli/lib/constants.ts'
import { Stall } from '../../../cli/lib/follow.ts'
import { blockTable, brief, fit, lookLines, moveLine, news, waiting, whyLines } from '../../../cli/lib/job-view.ts'
import { NewsLimit } from '../../../cli/lib/news-limit.ts'
import { createProgress, newsLines } from '../../../cli/lib/progress.ts'
import type { JobEvent, JobLook, WorkerView } from '../../../daemon/coordinator/index.ts'
import { look } from '../gateway/fake-node.ts'

const PEER = '12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK'
const worker = (changes: Partial<WorkerView>): WorkerView => ({ peer: PEER, kind: 'remote', state: 'working', has: 2, blocks: [3, 4], oldestMs: 1200, done: 5, bytesPerSecond: 5_200_000, ...changes })
const said = (changes: Partial<Extract<JobEvent, { type: 'worker' }>>): string | undefined => news({ type: 'worker', job: 'j', at: 0, peer: PEER, change: 'lost', ...changes }, false)

const busy = look('j', {
  total: 36, done: 12,
  workers: [
    worker({ state: 'suspect', message: 'silent for 1302 ms (beacon)', oldestMs: 14_000, done: 4, bytesPerSecond: 1_100_000 }), worker({ peer: 'local' }),
    worker({ peer: `${PEER.slice(0, -8)}Kq8s1TzW`, state: 'cut-off', message: 'it failed repeatedly (crash); one block is tried then', inMs: 3000, has: 0, blocks: [], oldestMs: undefined, done: 0, bytesPerSecond: undefined } as Partial<WorkerView>)
  ],
  moved: [{ block: 14, from: PEER, to: 'local', copy: true, reason: `${PEER} is suspect: silent for 1302 ms (beacon)`, agoMs: 2000 }, { block: 12, from: 'x', copy: false, reason: 'lost', agoMs: 4000 }, { block: 1, from: 'x', copy: false, reason: 'long ago', agoMs: 90_000 }]
})

describe('cli: who has what', () => {
  it('tells of workers in one line each: who, what, why, and what happens now', () => {
    assert.equal(said({ reason: 'the connection closed' }), `worker …${PEER.slice(-8)} was lost (the connection closed): its blocks go to others`)
    assert.equal(said({ change: 'suspect', reason: 'silent for 1302 ms (beacon)' }), `worker …${PEER.slice(-8)} is suspect (silent for 1302 ms (beacon)): others get copies of its blocks`)
    assert.equal(said({ change: 'trusted' }), `worker …${PEER.slice(-8)} is heard of again`)
    assert.equal(said({ change: 'draining' }), `worker …${PEER.slice(-8)} takes no new blocks: it finishes what it has begun, the rest goes to others`)
    assert.match(said({ change: 'cut-off', reason: 'for 812 ms, then it is tried with one block: crash' }) ?? '', /failed repeatedly, and is cut off \(for 812 ms/)
    assert.equal(said({ change: 'joined' }), undefined)
    assert.equal(said({ change: 'joined', reason: 'it takes blocks again' }), `worker …${PEER.slice(-8)}: it takes blocks again`)
    assert.match(said({ change: 'of a later version' as never }) ?? '', /of a later version/)
  })

  it('words of others stay on their line, short, and move no cursor', () => {
    assert.equal(brief('a\n  b\u001b[2J'), 'a b\\x1b[2J')
    assert.equal(brief(`from ${PEER}: no`), `from …${PEER.slice(-8)}: no`)
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => {
      const line = said({ reason: text }) ?? ''
      assert.ok(line.length < 250 && !/\p{Cc}/u.test(line), line)
    }))
  })

  it('one that flaps does not fill the screen, and what was not told is counted', () => {
    const limit = new NewsLimit()
    const lines: string[] = []
    for (let at = 0; at < NEWS_WINDOW_MS; at += 100) for (const change of ['suspect', 'trusted'] as const) lines.push(...newsLines({ type: 'worker', job: 'j', at: 0, peer: 'p', change }, false, limit, at))
    assert.deepEqual(lines.length, 2)
    for (let peer = 0; peer < 1000; peer++) lines.push(...newsLines({ type: 'worker', job: 'j', at: 0, peer: `p${peer}`, change: 'lost' }, false, limit, NEWS_WINDOW_MS - 1))
    assert.ok(lines.length <= NEWS_MAX + 1, String(lines.length))
    const later = newsLines({ type: 'worker', job: 'j', at: 0, peer: 'z', change: 'lost' }, false, limit, 3 * NEWS_WINDOW_MS)
    assert.match(later[0] ?? '', /^\.\.\. \d+ more changes like these$/)
    assert.match(later[1] ?? '', /worker z was lost/)
  })

  it('says what each worker has, what is amiss with it, and what moved lately', () => {
    const lines = lookLines(busy, { columns: 200, rows: 10 })
    assert.equal(lines.length, 5)
    assert.match(lines[0] ?? '', /^ {2}…\w{8}  2 blocks, 14 s {5}4 done {2}suspect: silent for 1302 ms \(beacon\)$/)
    assert.match(lines[1] ?? '', /^ {2}local {6}2 blocks, 1\.2 s .* 5\.2 MB\/s$/)
    assert.match(lines[2] ?? '', /^ {2}…Kq8s1TzW {2}- .*cut-off \(3\.0 s more\): it failed repeatedly \(crash\)/)
    assert.match(lines[3] ?? '', /^ {2}block 14: …\w{8} and also local \(2\.0 s ago\): suspect: silent for 1302 ms \(beacon\)$/)
    assert.match(lines[4] ?? '', /^ {2}block 12: x → nobody yet \(4\.0 s ago\): lost$/)
  })

  it('fits into the terminal it has, whatever there is to say', () => {
    fc.assert(fc.property(fc.nat(60), fc.nat(20), fc.integer({ min: 10, max: 200 }), fc.integer({ min: 0, max: 30 }), (workers, moves, columns, rows) => {
      const many: JobLook = look('j', {
        workers: Array.from({ length: workers }, () => worker({})), moreWorkers: workers, moved: Array.from({ length: moves }, () => ({ block: 1, from: PEER, to: PEER, copy: false, reason: 'because', agoMs: 5 })),
        why: [{ reason: 'disk', message: 'x'.repeat(300) }]
      })
      const lines = lookLines(many, { columns, rows })
      assert.ok(lines.length <= rows)
      for (const line of lines) assert.ok([...line].length < columns, line)
    }))
    assert.equal(fit('12345', 6), '12345')
    assert.equal(fit('123456', 6), '1234…')
  })

  it('says that a block came back to where it was', () => {
    assert.equal(moveLine({ block: 1, from: 'a', to: 'a', copy: false, reason: 'crash', agoMs: 500 }), 'block 1: a → a (500 ms ago): crash')
  })

  it('draws them below the bar, and leaves nothing of them', () => {
    const written: string[] = []
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24, write: (text: string) => { written.push(text); return true } }) as unknown as NodeJS.WriteStream
    const bar = createProgress('in.csv', { stream, detailed: true })
    bar.look(busy)
    bar.say('something')
    bar.stop()
    const screen = render(written.join(''))
    assert.deepEqual(screen.filter(line => line !== ''), ['something'])
    assert.equal(render(written.slice(0, 2).join('')).length, 6)
  })

  it('lists blocks with their holders and what came of them before', () => {
    const table = blockTable([
      { block: 7, bytes: 1e6, state: 'leased', attempts: [{ attempt: 1, peer: PEER, state: 'ended', ageMs: 9000, forMs: 2400, ended: 'lost: silent' }, { attempt: 2, peer: 'local', state: 'out', ageMs: 1500 }] },
      { block: 8, bytes: 1e6, state: 'ready', attempts: [] }
    ], 120).split('\n')
    assert.match(table[0] ?? '', /BLOCK +SIZE +STATE +TRY +PEER +FOR +WHAT CAME OF IT/)
    assert.match(table[1] ?? '', /^ +7 +1\.0 MB +out +1 +…\w{8} +2\.4 s +lost: silent$/)
    assert.match(table[2] ?? '', /^ +2 +local +1\.5 s +at work$/)
    assert.match(table[3] ?? '', /^ +8 +1\.0 MB +waits/)
  })
})

describe('cli: why nothing moves', () => {
  const noWorker = look('j', { why: [{ reason: 'worker', message: 'no worker can take blocks', inMs: 12_000 }, { peer: PEER, reason: 'price', message: 'it asks 51' }, { peer: 'i', reason: 'idle', message: 'no block is left for it' }] })

  it('names the reason and who is left out, and leaves out who only has nothing to do', () => {
    assert.equal(waiting(noWorker)?.text, `waiting: no worker can take blocks (for 12 s at most); left out: …${PEER.slice(-8)} (price: it asks 51)`)
    assert.equal(waiting(noWorker)?.amiss, true)
    const slow = waiting(look('j', { workers: [worker({ oldestMs: 20_000 })], why: [{ reason: 'results', message: 'all 4 blocks are given out; 3 are not done' }] }))
    assert.equal(slow?.amiss, false)
    assert.match(slow?.text ?? '', /all 4 blocks are given out.*the oldest block out is at …\w{8}, for 20 s/)
    assert.equal(waiting(look('j')), undefined)
    assert.deepEqual(whyLines(noWorker.why).slice(0, 2), ['no worker can take blocks (for 12 s at most)', `…${PEER.slice(-8)}  price: it asks 51`])
  })

  it('is said once for each reason, seldom again, and sooner where something is amiss', () => {
    const stall = new Stall(0)
    const [bad, good] = [waiting(noWorker), { text: 'slow', key: 'slow', amiss: false }]
    assert.equal(stall.words(bad, QUIET_MS - 1), undefined)
    assert.ok(stall.words(bad, QUIET_MS) != null)
    assert.equal(stall.words(bad, QUIET_MS + 1000), undefined)
    assert.ok(stall.words(bad, QUIET_MS + WAITING_AGAIN_MS) != null)
    const progress = (blocksDone: number): JobEvent => ({ type: 'progress', job: 'j', at: 0, blocksDone, bytesDone: 0, bytesTotal: 1, workers: 1 })
    stall.event(progress(1), 100_000)
    // A worker that joined is news, but no block was done.
    stall.event(progress(1), 105_000)
    assert.equal(stall.words(good, 100_000 + QUIET_MS), undefined)
    assert.equal(stall.words(good, 100_000 + QUIET_WORKING_MS), 'slow')
    stall.event(progress(2), 200_000)
    assert.equal(stall.words(bad, 200_000 + QUIET_MS - 1), undefined)
  })
})

/** An escape sequence in parts, or a character. */
const MOVEMENT = new RegExp(`(${'\u001b'}\\[(\\d*)([AJKm]))|([^])`, 'gu')

/** What a terminal shows after a text: only the movements that are used here. */
function render (text: string): string[] {
  let lines = ['']
  let [row, column] = [0, 0]
  for (const [, escape, digits, kind, character] of text.matchAll(MOVEMENT)) {
    if (escape == null) {
      if (character === '\r') column = 0
      else if (character === '\n') {
        row++
        column = 0
        if (row >= lines.length) lines.push('')
      } else {
        lines[row] = (lines[row] ?? '').padEnd(column).slice(0, column) + character + (lines[row] ?? '').slice(column + 1)
        column++
      }
    } else if (kind === 'A') row -= Number(digits)
    else if (kind === 'K') lines[row] = (lines[row] ?? '').slice(0, column)
    else if (kind === 'J') lines = [...lines.slice(0, row), (lines[row] ?? '').slice(0, column)]
  }
  return lines
}
