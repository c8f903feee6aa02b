/** Many outputs of one command: some jobs at a time, and what became of them told in the order of the inputs. */
import type { Client } from './client.ts'
import { BAR_WIDTH, JOBS_AT_ONCE, PROGRESS_DRAW_MS, SEVERAL_LINE_MS } from './constants.ts'
import { EXIT, type ExitCode } from './exit.ts'
import type { Interrupt } from './interrupt.ts'
import type { Outcome } from './conversion.ts'
import { CLEAR_LINE, newsLines } from './progress.ts'
import { NewsLimit } from './news-limit.ts'
import { Rate } from './rate.ts'
import { count, formatSeconds } from './units.ts'

export interface SeveralOptions {
  client: Client
  interrupt: Interrupt
  /** Nothing on standard error unless it is a terminal. */
  quiet: boolean
  /** @default process.stderr */
  stream?: NodeJS.WriteStream
  /** @default JOBS_AT_ONCE */
  atOnce?: number
}

/** Runs all, and gives the exit code: 1 if one failed, 130 if it was interrupted. Outcomes are told in order, as soon as those before are. */
export async function runSeveral<T> (items: T[], run: (item: T) => Promise<Outcome>, { client, interrupt, quiet, stream = process.stderr, atOnce = JOBS_AT_ONCE }: SeveralOptions): Promise<ExitCode> {
  const progress = new SeveralProgress(items.length, quiet, stream)
  const ended = new AbortController()
  const following = followWorkers(client, progress, ended.signal)
  // Without its events nothing is said of workers; the jobs go on.
  following.catch(() => {})
  const outcomes = new Map<number, Outcome>()
  let worst: ExitCode = EXIT.done
  let next = 0
  let told = 0
  const lane = async (): Promise<void> => {
    while (next < items.length && !interrupt.signal.aborted) {
      const at = next++
      const outcome = await run(items[at] as T)
      if (outcome.exit !== EXIT.done) worst = EXIT.failed
      outcomes.set(at, outcome)
      progress.done()
      for (let ready = outcomes.get(told); ready != null; ready = outcomes.get(++told)) {
        outcomes.delete(told)
        progress.aside(ready.tell)
      }
    }
  }
  const stopSaying = interrupt.onAbort(async () => { progress.say('cancelling what runs; press Ctrl-C again to quit at once') })
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane))
  } finally {
    stopSaying()
    ended.abort()
    progress.stop()
  }
  return interrupt.signal.aborted ? EXIT.interrupted : worst
}

/** What happens to workers, each thing once however many jobs it concerns, and not without end. */
async function followWorkers (client: Client, progress: SeveralProgress, signal: AbortSignal): Promise<void> {
  const limit = new NewsLimit()
  for await (const event of client.events({ types: 'worker' }, signal)) {
    for (const text of newsLines(event, true, limit, performance.now())) progress.say(text)
  }
}

/** How many are done: a bar on a terminal, otherwise a line every few seconds. */
class SeveralProgress {
  readonly #total: number
  readonly #quiet: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #rate = new Rate()
  #done = 0
  #last = performance.now()

  constructor (total: number, quiet: boolean, stream: NodeJS.WriteStream) {
    this.#total = total
    this.#quiet = quiet
    this.#stream = stream
    this.#rate.add(this.#last, 0)
  }

  done (): void {
    this.#done++
    const now = performance.now()
    if (now - this.#last < (this.#stream.isTTY ? PROGRESS_DRAW_MS : SEVERAL_LINE_MS)) return
    this.#last = now
    this.#rate.add(now, this.#done)
    if (this.#stream.isTTY) this.#draw()
    else if (!this.#quiet) this.#stream.write(`${this.#words(now)}\n`)
  }

  /** Lets somebody else write lines. */
  aside (write: () => void): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR_LINE)
    write()
  }

  say (text: string): void {
    if (this.#stream.isTTY) this.#stream.write(`${CLEAR_LINE}${text}\n`)
    else if (!this.#quiet) this.#stream.write(`${text}\n`)
  }

  stop (): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR_LINE)
  }

  #words (now: number): string {
    const perSecond = this.#rate.bytesPerSecond(now)
    const left = this.#rate.secondsLeft(now, this.#total)
    return `${this.#done.toLocaleString('en-US')} of ${count(this.#total, 'output')}${perSecond == null ? '' : `, ${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} per second`}${left == null ? '' : `, ${formatSeconds(Math.ceil(left))} left`}`
  }

  #draw (): void {
    const share = this.#done / this.#total
    const full = Math.round(share * BAR_WIDTH)
    const line = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${String(Math.floor(share * 100)).padStart(3)} %  ${this.#words(performance.now())}`
    this.#stream.write(CLEAR_LINE + [...line].slice(0, (this.#stream.columns ?? 80) - 1).join(''))
  }
}
