/** The progress of one job on standard error: a bar on a terminal, otherwise a line per second or change of state. */
import type { JobEvent } from '../../daemon/coordinator/index.ts'
import { BAR_WIDTH, PROGRESS_DRAW_MS, PROGRESS_LINE_MS } from './constants.ts'
import { Rate } from './rate.ts'
import { styled } from './terminal.ts'
import { count, formatBytes, formatSeconds, shortPeer } from './units.ts'

/** To the beginning of the line, and nothing on it. */
export const CLEAR_LINE = '\r\u001b[K'

export interface Progress {
  event: (event: JobEvent) => void
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
  stream?: NodeJS.WriteStream
}

export function createProgress (name: string, { quiet = false, several = false, stream = process.stderr }: ProgressOptions = {}): Progress {
  if (stream.isTTY) return new Bar(name, several, stream)
  return new Lines(name, quiet, several, stream)
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

/** Events a person wants to hear of while it runs. */
export function news (event: JobEvent, several: boolean): string | undefined {
  if (event.type === 'plan') return several ? undefined : event.message
  if (event.type !== 'worker' || event.change === 'joined') return undefined
  const words = {
    lost: 'was lost; its blocks go to others',
    suspect: 'is silent; copies of its blocks go to others',
    trusted: 'is heard of again',
    refused: 'does not take part',
    distrusted: 'gave a wrong result and is not used any more'
  }[event.change]
  return `worker ${shortPeer(event.peer)} ${words}${event.reason == null ? '' : ` (${event.reason})`}`
}

class Bar implements Progress {
  readonly #name: string
  readonly #several: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()
  #share = 0
  #words = 'preparing'
  #drawn = Number.NEGATIVE_INFINITY

  constructor (name: string, several: boolean, stream: NodeJS.WriteStream) {
    this.#name = name
    this.#several = several
    this.#stream = stream
    this.#draw()
  }

  event (event: JobEvent): void {
    const said = news(event, this.#several)
    if (said != null) this.say(said)
    const now = performance.now()
    if (event.type === 'state' && event.state === 'merging') {
      this.#words = 'merging and checking the whole'
      this.#draw()
    } else if (event.type === 'progress') {
      this.#rate.add(now, event.bytesDone)
      this.#share = event.bytesTotal === 0 ? 1 : Math.min(1, event.bytesDone / event.bytesTotal)
      this.#words = describe(event, this.#rate, now)
      if (now - this.#drawn >= PROGRESS_DRAW_MS) this.#draw()
    }
  }

  say (text: string): void {
    this.#stream.write(`${CLEAR_LINE}${styled('dim', text, this.#stream)}\n`)
    this.#draw()
  }

  stop (): void {
    this.#stream.write(CLEAR_LINE)
  }

  /** One line, cut where the terminal ends: a wrapped one could not be written over. */
  #draw (): void {
    this.#drawn = performance.now()
    const full = Math.round(this.#share * BAR_WIDTH)
    const line = `${this.#name} ${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${String(Math.floor(this.#share * 100)).padStart(3)} %  ${this.#words}`
    this.#stream.write(CLEAR_LINE + [...line].slice(0, (this.#stream.columns ?? 80) - 1).join(''))
  }
}

class Lines implements Progress {
  readonly #name: string
  readonly #quiet: boolean
  readonly #several: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()
  /** Nothing is said in the first second: most jobs are over by then. */
  #last = performance.now()

  constructor (name: string, quiet: boolean, several: boolean, stream: NodeJS.WriteStream) {
    this.#name = name
    this.#quiet = quiet
    this.#several = several
    this.#stream = stream
  }

  event (event: JobEvent): void {
    const said = news(event, this.#several)
    if (said != null) this.say(said)
    const now = performance.now()
    const due = now - this.#last >= PROGRESS_LINE_MS
    if (event.type === 'state' && event.state === 'merging' && due) this.say('merging')
    if (event.type !== 'progress') return
    this.#rate.add(now, event.bytesDone)
    if (!due) return
    this.#last = now
    this.say(describe(event, this.#rate, now))
  }

  say (text: string): void {
    if (!this.#quiet) this.#stream.write(`${this.#name}: ${text}\n`)
  }

  stop (): void {}
}
