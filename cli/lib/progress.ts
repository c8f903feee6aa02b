/** The progress of one job on standard error: a bar on a terminal, otherwise a line per second or change of state. */
import type { JobEvent, JobLook } from '../../daemon/coordinator/index.ts'
import { BAR_WIDTH, LIVE_LINES_MAX, PROGRESS_DRAW_MS, PROGRESS_LINE_MS } from './constants.ts'
import { fit, lookLines, moveLine, news } from './job-view.ts'
import { NewsLimit } from './news-limit.ts'
import { Rate } from './rate.ts'
import { styled } from './terminal.ts'
import { count, formatBytes, formatSeconds } from './units.ts'

/** To the beginning of the line, and nothing on it. */
export const CLEAR_LINE = '\r\u001b[K'

/** So many lines up, to the beginning of that line, and nothing from there on. */
const clearLines = (above: number): string => above === 0 ? CLEAR_LINE : `\r\u001b[${above}A\u001b[J`

export interface Progress {
  event: (event: JobEvent) => void
  /** Who has what, as it is now. */
  look: (look: JobLook) => void
  /** Something to be said while the job runs. */
  say: (text: string) => void
  stop: () => void
}

type Reading = Extract<JobEvent, { type: 'progress' }>

export interface ProgressOptions {
  /** Nothing at all unless somebody looks (a terminal). */
  quiet?: boolean
  /** One of many: how each is planned is of no interest. */
  several?: boolean
  /** Workers and what moves are shown, too. */
  detailed?: boolean
  stream?: NodeJS.WriteStream
}

export function createProgress (name: string, { quiet = false, several = false, detailed = false, stream = process.stderr }: ProgressOptions = {}): Progress {
  if (stream.isTTY) return new Bar(name, several, detailed, stream)
  return new Lines(name, quiet, several, detailed, stream)
}

/** What a reading says in words; empty parts are left out. */
export function describe (reading: Reading, rate: Rate, now: number): string {
  const perSecond = rate.bytesPerSecond(now)
  const left = rate.secondsLeft(now, reading.bytesTotal)
  return [
    reading.blocksTotal == null ? count(reading.blocksDone, 'block') : `${reading.blocksDone} of ${count(reading.blocksTotal, 'block')}`,
    ...(perSecond == null ? [] : [`${formatBytes(Math.round(perSecond))}/s`]),
    ...(left == null ? [] : [`${left < 90 ? `${Math.ceil(left)} s` : formatSeconds(left)} left`]),
    count(reading.workers, 'worker')
  ].join(', ')
}

/** What of an event is to be said now: nothing, or it, or also how many others were not. */
export function newsLines (event: JobEvent, several: boolean, limit: NewsLimit, now: number): string[] {
  const text = news(event, several)
  if (text == null) return []
  return event.type === 'worker' ? limit.take(`${event.peer} ${event.change}`, text, now) : [text]
}

/** Moves that were not there at the look before, the oldest first. */
class Moves {
  #last = Number.NEGATIVE_INFINITY

  fresh ({ at, moved }: JobLook): JobLook['moved'] {
    // Ages are rounded, so that the same move may seem to be a millisecond younger.
    const fresh = moved.filter(({ agoMs }) => at - agoMs > this.#last + 1).toReversed()
    for (const { agoMs } of fresh) this.#last = Math.max(this.#last, at - agoMs)
    return fresh
  }
}

class Bar implements Progress {
  readonly #name: string
  readonly #several: boolean
  readonly #detailed: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()
  readonly #limit = new NewsLimit()
  #look: JobLook | undefined
  #share = 0
  #words = 'preparing'
  #drawn = Number.NEGATIVE_INFINITY
  /** Lines below the bar that are drawn at present. */
  #below = 0

  constructor (name: string, several: boolean, detailed: boolean, stream: NodeJS.WriteStream) {
    this.#name = name
    this.#several = several
    this.#detailed = detailed
    this.#stream = stream
    this.#draw()
  }

  event (event: JobEvent): void {
    const now = performance.now()
    for (const line of newsLines(event, this.#several, this.#limit, now)) this.say(line)
    if (event.type === 'state' && event.state === 'merging') {
      this.#words = 'merging and checking the whole'
      this.#look = undefined
      this.#draw()
    } else if (event.type === 'progress') {
      this.#rate.add(now, event.bytesDone)
      this.#share = event.bytesTotal === 0 ? 1 : Math.min(1, event.bytesDone / event.bytesTotal)
      this.#words = describe(event, this.#rate, now)
      if (now - this.#drawn >= PROGRESS_DRAW_MS) this.#draw()
    }
  }

  look (look: JobLook): void {
    if (!this.#detailed) return
    this.#look = look
    this.#draw()
  }

  say (text: string): void {
    this.#stream.write(`${this.#clear()}${styled('dim', text, this.#stream)}\n`)
    this.#draw()
  }

  stop (): void {
    this.#stream.write(this.#clear())
  }

  #clear (): string {
    const above = this.#below
    this.#below = 0
    return clearLines(above)
  }

  /** Lines that are cut where the terminal ends: wrapped ones could not be written over. */
  #draw (): void {
    this.#drawn = performance.now()
    const columns = this.#stream.columns ?? 80
    const full = Math.round(this.#share * BAR_WIDTH)
    const bar = `${this.#name} ${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${String(Math.floor(this.#share * 100)).padStart(3)} %  ${this.#words}`
    const rows = Math.min(LIVE_LINES_MAX, (this.#stream.rows ?? 24) - 2)
    const lines = [fit(bar, columns), ...this.#look == null ? [] : lookLines(this.#look, { columns, rows }).map(line => styled('dim', line, this.#stream))]
    const text = `${this.#clear()}${lines.join('\n')}`
    this.#below = lines.length - 1
    this.#stream.write(text)
  }
}

class Lines implements Progress {
  readonly #name: string
  readonly #quiet: boolean
  readonly #several: boolean
  readonly #detailed: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()
  readonly #limit = new NewsLimit()
  readonly #moves = new Moves()
  /** Nothing is said in the first second: most jobs are over by then. */
  #last = performance.now()

  constructor (name: string, quiet: boolean, several: boolean, detailed: boolean, stream: NodeJS.WriteStream) {
    this.#name = name
    this.#quiet = quiet
    this.#several = several
    this.#detailed = detailed
    this.#stream = stream
  }

  event (event: JobEvent): void {
    const now = performance.now()
    for (const line of newsLines(event, this.#several, this.#limit, now)) this.say(line)
    const due = now - this.#last >= PROGRESS_LINE_MS
    if (event.type === 'state' && event.state === 'merging' && due) this.say('merging')
    if (event.type !== 'progress') return
    this.#rate.add(now, event.bytesDone)
    if (!due) return
    this.#last = now
    this.say(describe(event, this.#rate, now))
  }

  look (look: JobLook): void {
    if (!this.#detailed) return
    for (const move of this.#moves.fresh(look)) for (const line of this.#limit.take(`${move.from} ${move.to ?? ''} moved`, moveLine(move), performance.now())) this.say(line)
  }

  say (text: string): void {
    if (!this.#quiet) this.#stream.write(`${this.#name}: ${text}\n`)
  }

  stop (): void {}
}
