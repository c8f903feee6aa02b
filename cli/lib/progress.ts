/** The progress of one job on standard error: a bar on a terminal, otherwise a line per second or change of state. */
import type { SingleBar } from 'cli-progress'
import type { JobEvent } from '../../daemon/coordinator/index.ts'
import { PROGRESS_LINE_MS } from './constants.ts'
import { Rate } from './rate.ts'
import { styled } from './terminal.ts'
import { count, formatBytes, formatSeconds, shortPeer } from './units.ts'

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

export async function createProgress (name: string, { quiet = false, several = false, stream = process.stderr }: ProgressOptions = {}): Promise<Progress> {
  if (stream.isTTY) return new Bar(name, (await import('cli-progress')).default.SingleBar, several, stream)
  return new Lines(name, quiet, several, stream)
}

/** What a reading says in words; empty parts are left out. */
export function describe (reading: Reading, rate: Rate, now: number): string {
  const perSecond = rate.bytesPerSecond(now)
  const left = rate.secondsLeft(now, reading.bytesTotal)
  return [
    reading.blocksTotal == null ? count(reading.blocksDone, 'block') : `${reading.blocksDone} of ${count(reading.blocksTotal, 'block')}`,
    ...(perSecond == null ? [] : [`${formatBytes(Math.round(perSecond))}/s`]),
    ...(left == null ? [] : [`${formatSeconds(left)} left`]),
    count(reading.workers, 'worker')
  ].join(', ')
}

/** Events a person wants to hear of while it runs. */
export function news (event: JobEvent, several: boolean): string | undefined {
  if (event.type === 'plan') return several ? undefined : event.message
  if (event.type !== 'worker' || event.change === 'joined') return undefined
  const words = { lost: 'was lost; its blocks go to others', refused: 'does not take part', distrusted: 'gave a wrong result and is not used any more' }[event.change]
  return `worker ${shortPeer(event.peer)} ${words}${event.reason == null ? '' : ` (${event.reason})`}`
}

class Bar implements Progress {
  readonly #bar: SingleBar
  readonly #several: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()

  constructor (name: string, SingleBarClass: typeof SingleBar, several: boolean, stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#several = several
    this.#bar = new SingleBarClass({
      format: `${name} {bar} {percentage}%  {words}`,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
      linewrap: false,
      fps: 8,
      stream
    })
    this.#bar.start(1, 0, { words: 'preparing' })
  }

  event (event: JobEvent): void {
    const said = news(event, this.#several)
    if (said != null) this.say(said)
    if (event.type === 'state' && event.state === 'merging') this.#bar.update({ words: 'merging and checking the whole' })
    if (event.type !== 'progress') return
    const now = performance.now()
    this.#rate.add(now, event.bytesDone)
    this.#bar.setTotal(Math.max(event.bytesTotal, 1))
    this.#bar.update(Math.min(event.bytesDone, event.bytesTotal), { words: describe(event, this.#rate, now) })
  }

  say (text: string): void {
    // Over the bar's line; the bar draws itself again below.
    this.#stream.write(`\r\u001b[K${styled('dim', text, this.#stream)}\n`)
  }

  stop (): void {
    this.#bar.stop()
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
