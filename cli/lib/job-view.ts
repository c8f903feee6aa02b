/** What a running job is at, in words for a person: who has what, what moved and why, why nothing happens. Pure. */
import type { AttemptView, BlockView, JobEvent, JobLook, MoveView, Why, WorkerView } from '../../daemon/coordinator/index.ts'
import { fittedTable } from './fitted-table.ts'
import { shown } from './names.ts'
import { count, formatBytes, formatSeconds, shortPeer } from './units.ts'

/** Characters of a reason in a line that says other things, too. */
const REASON_MAX = 100
/** Peers that one line names. */
const PEERS_NAMED = 3
/** Moves that are still news: milliseconds. */
const MOVED_MS = 30_000

/** Milliseconds, as people write them. */
export const time = (ms: number): string => formatSeconds(ms / 1000)

/** Words of peers, engines and systems: on one line, with ids one can read past, and not without end. */
export function brief (text: string, most = REASON_MAX): string {
  const line = shown(text.trim().replaceAll(/\s+/g, ' ')).replaceAll(/\b(?:12D3KooW|16Uiu2|Qm)[1-9A-HJ-NP-Za-km-z]{30,60}\b/g, shortPeer)
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}

const NEWS: Record<Exclude<Extract<JobEvent, { type: 'worker' }>['change'], 'joined'>, [what: string, now: string]> = {
  lost: ['was lost', 'its blocks go to others'],
  suspect: ['is suspect', 'others get copies of its blocks'],
  trusted: ['is heard of again', ''],
  'cut-off': ['failed repeatedly, and is cut off', ''],
  draining: ['takes no new blocks', 'it finishes what it has begun, the rest goes to others'],
  refused: ['is left out', ''],
  distrusted: ['gave a wrong result', 'it is not used any more']
}

/** An event a person wants to hear of while a job runs: one line, with the reason and what happens now. */
export function news (event: JobEvent, several: boolean): string | undefined {
  if (event.type === 'plan') return several ? undefined : brief(event.message, 2 * REASON_MAX)
  if (event.type !== 'worker') return undefined
  const worker = `worker ${shortPeer(event.peer)}`
  const reason = event.reason == null ? '' : brief(event.reason)
  // Who joins is seen in the number of workers; who comes back was told of before.
  if (event.change === 'joined') return reason === '' ? undefined : `${worker}: ${reason}`
  // A later daemon may know more changes.
  const [what, now] = NEWS[event.change] ?? [event.change, '']
  return `${worker} ${what}${reason === '' ? '' : ` (${reason})`}${now === '' ? '' : `: ${now}`}`
}

/** A worker in one line; columns of several are below each other. How fast it is matters less than what is amiss. */
export function workerLine ({ peer, state, message, inMs, has, oldestMs, done, bytesPerSecond }: WorkerView): string {
  const at = has === 0 ? '-' : `${count(has, 'block')}${oldestMs == null ? '' : `, ${time(oldestMs)}`}`
  const speed = bytesPerSecond == null || bytesPerSecond === 0 ? '' : `${formatBytes(bytesPerSecond)}/s`
  const now = state === 'working' ? speed : `${state}${inMs == null ? '' : ` (${time(inMs)} more)`}${message == null ? '' : `: ${brief(message)}`}`
  return `${shortPeer(peer).padEnd(9)}  ${at.padEnd(15)}  ${`${done} done`.padStart(8)}  ${now}`.trimEnd()
}

export function moveLine ({ block, from, to, copy, reason, agoMs }: MoveView): string {
  const there = copy ? ` and also ${shortPeer(to ?? 'somebody')}` : ` → ${to == null ? 'nobody yet' : shortPeer(to)}`
  // Who is suspect is said already.
  const why = brief(reason.startsWith(`${from} is `) ? reason.slice(from.length + 4) : reason)
  return `block ${block}: ${shortPeer(from)}${there} (${time(agoMs)} ago): ${why}`
}

export interface Space { columns: number, rows: number }

/** What stands below the bar of a job that is watched; never more than `rows` lines, none longer than `columns`. */
export function lookLines ({ workers, moreWorkers, moved, why }: JobLook, { columns, rows }: Space): string[] {
  if (rows <= 0) return []
  const waits = why.filter(({ peer, reason }) => peer == null && reason !== 'more').map(one => `waits: ${whyText(one)}`)
  const recent = moved.filter(({ agoMs }) => agoMs < MOVED_MS).slice(0, Math.max(1, Math.floor(rows / 4))).map(moveLine)
  const room = Math.max(1, rows - waits.length - recent.length - 1)
  const shownWorkers = workers.slice(0, room)
  const rest = workers.slice(room)
  const hidden = rest.length + moreWorkers
  const lines = [...waits, ...shownWorkers.map(workerLine), ...(hidden === 0 ? [] : [`... and ${count(hidden, 'more worker')}${restWords(rest)}`]), ...recent]
  return lines.slice(0, rows).map(line => fit(`  ${line}`, columns))
}

function restWords (rest: WorkerView[]): string {
  const working = rest.filter(({ has }) => has > 0).length
  return working === 0 ? '' : `, ${working} of them at work`
}

/** Cut where the terminal ends: a wrapped line could not be written over. */
export function fit (line: string, columns: number): string {
  const characters = [...line]
  return characters.length <= columns - 1 ? line : `${characters.slice(0, columns - 2).join('')}…`
}

function whyText ({ message, inMs }: Why): string {
  return `${brief(message)}${inMs == null ? '' : ` (for ${time(inMs)} at most)`}`
}

/** Nothing is amiss where all that can be given out is out. */
const ORDINARY = new Set(['results', 'splitter', 'output'])
/** They would work if there were something for them to do. */
const WILLING = new Set(['idle', 'passed-over'])

export interface Waiting {
  text: string
  /** The same while nothing changed that would be worth another line. */
  key: string
  /** It is more than that blocks take their time. */
  amiss: boolean
}

/** Why a job does not move, in one line; undefined if there is nothing to say. */
export function waiting ({ workers, why }: JobLook): Waiting | undefined {
  const own = why.filter(({ peer, reason }) => peer == null && reason !== 'more')
  const left = why.filter(({ peer, reason }) => peer != null && !WILLING.has(reason))
  const [slowest] = workers.filter(({ has }) => has > 0).toSorted((a, b) => (b.oldestMs ?? 0) - (a.oldestMs ?? 0))
  const parts = [
    ...own.map(whyText),
    ...(slowest == null ? [] : [`the oldest block out is at ${shortPeer(slowest.peer)}${slowest.oldestMs == null ? '' : `, for ${time(slowest.oldestMs)}`}${slowest.state === 'working' ? '' : ` (${slowest.state}: ${brief(slowest.message ?? '')})`}`]),
    ...(left.length === 0 ? [] : [`left out: ${left.slice(0, PEERS_NAMED).map(({ peer, reason, message }) => `${shortPeer(peer ?? '')} (${reason}: ${brief(message)})`).join(', ')}${left.length > PEERS_NAMED ? ` and ${left.length - PEERS_NAMED} more, see weft jobs show` : ''}`])
  ]
  if (parts.length === 0) return undefined
  const amiss = own.some(({ reason }) => !ORDINARY.has(reason)) || (slowest != null && slowest.state !== 'working')
  return { text: `waiting: ${parts.join('; ')}`, key: [...own.map(({ reason }) => reason), slowest?.state ?? '', ...left.map(({ peer, reason }) => `${peer ?? ''} ${reason}`)].join('|'), amiss }
}

/** For the report: the job's own reasons, then peers, as pairs of a name and a sentence. */
export function whyLines (why: readonly Why[]): string[] {
  return why.map(one => one.peer == null ? whyText(one) : `${shortPeer(one.peer)}  ${one.reason}: ${whyText(one)}`)
}

const STATES: Record<BlockView['state'], string> = { ready: 'waits', leased: 'out', storing: 'storing', inspecting: 'inspecting', checking: 'comparing', committing: 'entering', done: 'done' }

function outcome ({ state, ended, copy }: AttemptView): string {
  const copied = copy == null ? '' : ` (copy: ${brief(copy)})`
  switch (state) {
    case 'out': return `at work${copied}`
    case 'taken': return `result is there${copied}`
    case 'called-off': return `called off: ${brief(ended ?? '')}`
    case 'ended': return brief(ended ?? 'no result that counts')
  }
}

interface Row { block?: Omit<BlockView, 'attempts'>, attempt?: AttemptView }

/** Blocks that are not done, as a table: a row for each attempt, so that what came of it has room. */
export function blockTable (blocks: BlockView[], width?: number): string {
  const rows = blocks.flatMap(({ attempts, ...block }): Row[] => attempts.length === 0 ? [{ block }] : attempts.map((attempt, index) => ({ attempt, ...(index === 0 ? { block } : {}) })))
  return fittedTable<Row>([
    { title: 'BLOCK', cell: ({ block }) => block == null ? '' : String(block.block), right: true, whole: true },
    { title: 'SIZE', cell: ({ block }) => block == null ? '' : formatBytes(block.bytes), right: true, spare: 1 },
    { title: 'STATE', cell: ({ block }) => block == null ? '' : STATES[block.state] ?? block.state, whole: true },
    { title: 'TRY', cell: ({ attempt }) => attempt == null ? '' : String(attempt.attempt), right: true, whole: true },
    { title: 'PEER', cell: ({ attempt }) => attempt == null ? '' : shortPeer(attempt.peer), whole: true },
    { title: 'FOR', cell: ({ attempt }) => attempt == null ? '' : time(attempt.forMs ?? attempt.ageMs), right: true, whole: true },
    { title: 'WHAT CAME OF IT', cell: ({ attempt }) => attempt == null ? '' : outcome(attempt) }
  ], rows, width)
}
