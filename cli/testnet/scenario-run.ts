/** Runs a scenario on a network that is up: its steps one after the other, then what it expects. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import { readEvents } from '../lib/event-reader.ts'
import { Failure } from '../lib/failure.ts'
import { startTimeOf } from '../lib/process.ts'
import { printJson, styled, tell } from '../lib/terminal.ts'
import { LOOK_MS } from './constants.ts'
import { degrade, heal, parseMilliseconds, parseRate, parseShare, partition } from './links.ts'
import { killNode, pauseNode, startNode, stopNode, takeDown } from './network.ts'
import { descendants } from './processes.ts'
import type { Conversion, Scenario, ScenarioStep, ScenarioVerb } from './scenario.ts'
import { judge, matches, type Finding, type RunJob } from './scenario-expect.ts'
import { lives, nodeOf, requireState, type TestnetState } from './state.ts'
import { watchNetwork } from './watch.ts'

const weft = join(import.meta.dirname, '..', '..', 'bin', 'weft')

/** Milliseconds in which the last events arrive after a conversion has ended. */
const LAST_EVENTS_MS = 5000

export interface RunOptions { dir: string, json: boolean, signal: AbortSignal }

/** Takes the network down, whatever happens. True if everything that is expected held. */
export async function runScenario (scenario: Scenario, network: TestnetState, options: RunOptions): Promise<boolean> {
  const run = new ScenarioRun(scenario, network, options)
  return await run.run()
}

class ScenarioRun {
  readonly #scenario: Scenario
  readonly #options: RunOptions
  readonly #peers: Map<string, string>
  readonly #started = performance.now()
  readonly #jobs: RunJob[] = []
  readonly #children = new Set<ChildProcess>()
  /** Conversions and followers of events, each settled when it is over. */
  readonly #running: Array<Promise<void>> = []
  readonly #over: AbortSignal
  readonly #end = new AbortController()
  /** Every process that belonged to the network, to look for what is left. */
  readonly #seen = new Map<number, { started: string, what: string }>()
  readonly #followed = new Set<string>()

  constructor (scenario: Scenario, network: TestnetState, options: RunOptions) {
    this.#scenario = scenario
    this.#options = options
    this.#peers = new Map(network.nodes.map(({ name, peerId }) => [name, peerId]))
    this.#over = AbortSignal.any([options.signal, this.#end.signal])
  }

  async run (): Promise<boolean> {
    const { scenario, options } = { scenario: this.#scenario, options: this.#options }
    const limit = setTimeout(() => { this.#end.abort(new Failure('failed', `the scenario takes longer than ${scenario.limitMs / 1000} s`)) }, scenario.limitMs)
    const watching = watchNetwork(options.dir, { tell: text => { this.#say(text) }, signal: this.#over })
    const findings: Finding[] = []
    try {
      if (scenario.description != null) tell(styled('bold', scenario.description))
      this.#say(`${scenario.profiles.length} nodes are up, seed ${scenario.seed}`)
      for (const step of scenario.steps) await this.#step(step)
      await this.#until('every conversion has ended', () => this.#jobs.every(({ ended }) => ended))
    } catch (error) {
      const why = this.#over.aborted && !options.signal.aborted ? (this.#over.reason as Error) : error as Error
      findings.push({ ok: false, what: 'every step was taken', found: options.signal.aborted ? 'interrupted' : why.message })
    } finally {
      clearTimeout(limit)
      await this.#lastEvents()
      await this.#look()
      this.#end.abort()
      for (const child of this.#children) child.kill('SIGKILL')
      await Promise.all([...this.#running, watching])
      await takeDown(options.dir)
    }
    const left = [...this.#seen].filter(([pid, { started }]) => startTimeOf(pid) === started).map(([pid, { what }]) => `${what} (process ${pid})`)
    // Loaded here: it brings the engines' readers with it.
    const { compareTables } = await import('../../scripts/compare.ts')
    for (const expectation of scenario.expect) findings.push(...await judge(expectation, { jobs: this.#jobs, peers: this.#peers, left }, compareTables))
    return this.#conclude(findings)
  }

  #conclude (findings: Finding[]): boolean {
    const held = findings.every(({ ok }) => ok)
    tell('')
    for (const { ok, what, found } of findings) tell(`${ok ? styled('green', 'ok    ') : styled('red', 'FAILED')}  ${what}${found == null ? '' : `: found ${found}`}`)
    tell(`\n${styled('bold', held ? 'Everything held.' : `${findings.filter(({ ok }) => !ok).length} of ${findings.length} did not hold.`)}`)
    if (this.#options.json) printJson({ ok: held, seed: this.#scenario.seed, seconds: this.#seconds(), jobs: this.#jobs.map(({ report, exitCode }) => ({ exitCode, ...report })), findings })
    return held
  }

  #seconds (): number {
    return Number(((performance.now() - this.#started) / 1000).toFixed(2))
  }

  #say (text: string): void {
    tell(`${this.#seconds().toFixed(2).padStart(7)} s  ${text}`)
  }

  async #step ({ at, after, when, do: act }: ScenarioStep): Promise<void> {
    if (at != null) await this.#pause(parseMilliseconds(at, 'at') - (performance.now() - this.#started))
    if (after != null) await this.#pause(parseMilliseconds(after, 'after'))
    if (when != null) {
      const job = this.#jobs[when.job] as RunJob
      const happened = (): boolean => {
        if (when.blocksDone != null) return job.events.filter(event => event.type === 'block' && event.change === 'done').length >= when.blocksDone
        return job.events.some(event => when.event == null ? event.type === 'state' && event.state === when.state : matches(event, when.event, this.#peers))
      }
      await this.#until(`job ${when.job} has come to ${JSON.stringify({ ...when, job: undefined })}`, happened, () => job.ended)
    }
    await this.#look()
    if (typeof act === 'string') {
      await this.#command(act)
      this.#say(act)
    } else await this.#convert(act.convert)
  }

  async #pause (ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.#over })
  }

  /** `over`: it cannot happen any more. */
  async #until (what: string, happened: () => boolean, over: () => boolean = () => false): Promise<void> {
    while (!happened()) {
      this.#over.throwIfAborted()
      if (over()) {
        // Its last events may still be on their way.
        await delay(LOOK_MS)
        if (happened()) return
        throw new Failure('failed', `it ended before ${what}`)
      }
      await delay(LOOK_MS / 5)
    }
  }

  async #command (text: string): Promise<void> {
    const { dir } = this.#options
    const words = text.trim().split(/\s+/)
    const jitter = option(words, '--jitter')
    const oneWay = words.includes('--one-way')
    const [verb, ...names] = words.filter(word => !word.startsWith('--')) as [ScenarioVerb, ...string[]]
    const [one = '', other = '', value = ''] = names
    const verbs: Record<ScenarioVerb, () => Promise<unknown>> = {
      kill: async () => await killNode(dir, one),
      stop: async () => await stopNode(dir, one),
      start: async () => await startNode(dir, one),
      pause: async () => await pauseNode(dir, one, true),
      unpause: async () => await pauseNode(dir, one, false),
      partition: async () => await partition(dir, names, { oneWay }),
      latency: async () => await degrade(dir, one, other, { delayMs: parseMilliseconds(value, text), jitterMs: jitter == null ? 0 : parseMilliseconds(jitter, text) }),
      bandwidth: async () => await degrade(dir, one, other, { bytesPerSecond: parseRate(value, text) }),
      loss: async () => await degrade(dir, one, other, { loss: parseShare(value, text) }),
      heal: async () => await heal(dir, names)
    }
    await verbs[verb]()
  }

  async #convert ({ input, to, on, args }: Conversion): Promise<void> {
    const { dir } = this.#options
    const node = nodeOf(await requireState(dir), on)
    await this.#follow(on)
    const number = this.#jobs.length
    const job: RunJob = { input: [input].flat(), output: join(dir, `job-${number}.${to.replace(/[^\w.]/g, '-')}`), events: [], ended: false, said: '' }
    this.#jobs.push(job)
    const child = spawn(process.execPath, [weft, 'convert', ...job.input, '--to', to, '-o', job.output, '--overwrite', '--json', ...args], { env: { ...process.env, WEFT_HOME: node.dataDir }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    this.#say(`job ${number}: ${job.input.join(' ')} to ${to} on ${on}`)
    this.#running.push(this.#finish(job, number, child))
    await this.#until(`job ${number} has begun`, () => job.id != null || job.ended)
  }

  async #finish (job: RunJob, number: number, child: ChildProcess): Promise<void> {
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => { out += chunk.toString() })
    child.stderr?.on('data', (chunk: Buffer) => { job.said += chunk.toString() })
    const [code] = await once(child, 'close') as [number | null]
    this.#children.delete(child)
    if (code != null) job.exitCode = code
    try {
      job.report = JSON.parse(out) as JobReport
    } catch {
      // Interrupted, or without its daemon: it has none, and `said` tells why.
    }
    job.ended = true
    this.#say(`job ${number} has ended: ${job.report?.state ?? job.said.trim().split('\n').at(-1) ?? ''}`)
  }

  /** The events of a node's jobs, from before the first of them. */
  async #follow (name: string): Promise<void> {
    if (this.#followed.has(name)) return
    this.#followed.add(name)
    const { api, tokenFile } = nodeOf(await requireState(this.#options.dir), name)
    const headers = { authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` }
    const response = await fetch(`${api}/events`, { headers, signal: this.#end.signal })
    this.#running.push((async () => {
      try {
        for await (const event of readEvents<JobEvent>(response.body as unknown as AsyncIterable<Uint8Array>)) this.#heard(event)
      } catch {
        // Aborted at the end, or the daemon is gone: then its jobs end without it.
      }
      this.#followed.delete(name)
    })())
  }

  #heard (event: JobEvent): void {
    const job = this.#jobs.find(({ id }) => id === event.job) ?? this.#jobs.findLast(({ id }) => id == null)
    if (job == null) return
    job.id ??= event.job
    job.events.push(event)
    const number = this.#jobs.indexOf(job)
    const who = 'peer' in event ? [...this.#peers].find(([, peer]) => peer === event.peer)?.[0] ?? event.peer : ''
    if (event.type === 'worker') this.#say(`job ${number}: ${who} ${event.change}${event.reason == null ? '' : ` (${event.reason})`}`)
    if (event.type === 'block' && ['hedged', 'requeued', 'rejected'].includes(event.change)) this.#say(`job ${number}: block ${event.block} ${event.change} (${who})`)
  }

  /** The stream of events may end a little after the command. */
  async #lastEvents (): Promise<void> {
    const complete = ({ report, events }: RunJob): boolean => report == null || events.some(event => event.type === 'state' && event.state === report.state)
    const deadline = performance.now() + LAST_EVENTS_MS
    while (!this.#over.aborted && !this.#jobs.every(complete) && performance.now() < deadline) await delay(LOOK_MS)
  }

  /** Daemons and their engines, as they are now. */
  async #look (): Promise<void> {
    for (const node of (await requireState(this.#options.dir)).nodes.filter(lives)) {
      for (const { pid, started, what } of [{ pid: node.pid, started: node.started, what: node.name }, ...await descendants(node.pid)]) this.#seen.set(pid, { started, what: pid === node.pid ? what : `${node.name}'s ${what}` })
    }
  }
}

/** The value behind `--name`, which is taken out. */
function option (words: string[], name: string): string | undefined {
  const index = words.indexOf(name)
  return index < 0 ? undefined : words.splice(index, 2)[1]
}
