/** A worker: the production lease machine, one per requester, over engines that take time and may lie, crash or hang. */
import { compareGenerations, type AttemptRef, type Generation } from '../../daemon/task-protocol/lease-model.ts'
import { createLeaseWorker } from '../../daemon/task-protocol/lease-worker.ts'
import type { LeaseWorker, WorkerEffect, WorkerEvent } from '../../daemon/task-protocol/lease-worker-events.ts'
import { KeptResults } from '../../daemon/task-protocol/kept-results.ts'
import { Host } from './host.ts'
import { HINT_MS, KEPT_LIMITS, ORPHAN_MS, type Conduct, type Fault, type SimOffer, type SimOrder, type SimResult, type ToRequester, type ToWorker } from './model.ts'
import type { Network, Stream } from './network.ts'
import { PeerWatch } from './peer-watch.ts'
import { Life, Violation, type World } from './world.ts'

/** For looks and rounding when kept results go, milliseconds. */
const SWEEP_MS = 1000

/** A task stream as both ends see it. */
export interface TaskStream {
  stream: Stream
  order: SimOrder
  settle: (result: SimResult) => void
}

interface Lease {
  machine: LeaseWorker<SimOrder, SimResult, SimOffer>
  streams: Map<string, { stream: Stream, watch: PeerWatch }>
  tasks: Map<string, TaskStream>
  /** The newest generation that was granted. */
  newest: Generation | undefined
  /** What was ordered, by generation and attempt. */
  ordered: Set<string>
}

/** A result that nobody took, and whom it was made for. */
interface Kept { result: SimResult, requester: string, input: string }

/** An attempt in an engine, or waiting for one. */
interface Running {
  life: Life
  requester: string
  generation: Generation
  order: SimOrder
  /** Present until an engine has it. */
  start: (() => void) | undefined
  /** Its lease is over, and it goes on. */
  orphan: boolean
  /** The same conversion was ordered anew: its result goes there. */
  heir: ((result: SimResult) => void) | undefined
  /** The earlier one whose result it waits for. */
  earlier: string | undefined
}

/** What the worker sees of requesters: their hosts, and the watch of a lease at their end. */
export interface Requesters {
  host: (name: string) => Host
  watch: (name: string, worker: string, stream: Stream) => PeerWatch | undefined
}

export const nameOf = ({ incarnation, counter }: Generation): string => `${incarnation}.${counter}`
const attemptName = (generation: Generation, { offer, block, attempt }: AttemptRef): string => `${nameOf(generation)}/${offer}/${block}/${attempt}`

export class WorkerNode {
  readonly name: string
  readonly host: Host
  readonly conduct: Conduct
  readonly #world: World
  readonly #network: Network
  readonly #faults: ReadonlySet<Fault>
  readonly #requesters: Requesters
  /** Most orders it ever took from one requester at a time. */
  #slotsMax: number
  #leases = new Map<string, Lease>()
  #running = new Map<string, Running>()
  /** When each result was last kept, oldest first. */
  readonly #keptAt = new Map<string, number>()
  #engines = 0
  #kept: KeptResults<Kept>
  #draining = false
  /** Orders answered with what was made before. */
  reused = 0
  refused = 0
  /** Ten times slower until then. */
  slowUntil = 0
  /** Told of what comes back to a requester. */
  deliver: (requester: string, stream: Stream, message: ToRequester, label: string) => void = () => {}
  closed: (requester: string, stream: Stream) => void = () => {}

  constructor (name: string, conduct: Conduct, world: World, network: Network, faults: ReadonlySet<Fault>, requesters: Requesters) {
    this.name = name
    this.host = new Host(name, world, faults as ReadonlySet<never>)
    this.conduct = conduct
    this.#slotsMax = conduct.slots
    this.#world = world
    this.#network = network
    this.#faults = faults
    this.#requesters = requesters
    this.#kept = new KeptResults(KEPT_LIMITS, faults as ReadonlySet<never>)
  }

  get up (): boolean { return this.host.up }

  crash (): void {
    this.host.crash()
    for (const { life } of this.#running.values()) life.over = true
    for (const { streams } of this.#leases.values()) for (const { watch } of streams.values()) watch.stop()
    this.#leases = new Map()
    this.#running = new Map()
    this.#engines = 0
    this.#kept = new KeptResults(KEPT_LIMITS, this.#faults as ReadonlySet<never>)
    this.#draining = false
  }

  restart (): void {
    this.host.restart()
  }

  /** All of it stands still, engines too. */
  suspend (forMs: number, sleeps: boolean): void {
    this.host.suspend(forMs, sleeps)
    for (const { life } of this.#running.values()) life.idleUntil = this.#world.now + forMs
  }

  drain (): void {
    this.#draining = true
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'drain' })
  }

  /** The drain's deadline passed: what runs goes back, too. */
  handBack (): void {
    const refusal = { reason: 'draining' as const, message: 'this node stops', retryAfterMs: HINT_MS }
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'hand-back', refusal })
  }

  resume (): void {
    this.#draining = false
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'resume' })
  }

  /** Whether an order is known here, at work or with a result under way. */
  holds (requester: string, generation: Generation, ref: AttemptRef): boolean {
    const lease = this.#leases.get(requester)
    if (lease == null) return false
    const { active, unacked, held } = lease.machine.inspect()
    return unacked + held > 0 || lease.tasks.has(attemptName(generation, ref)) || active.some(({ offer, block, attempt }) => offer === ref.offer && block === ref.block && attempt === ref.attempt)
  }

  /** Orders it takes from this requester at present; undefined where it has no lease of that generation. */
  slotsFor (requester: string, generation: Generation): number | undefined {
    const view = this.#leases.get(requester)?.machine.inspect()
    if (view == null || !view.open || view.generation == null || compareGenerations(view.generation, generation) !== 0) return undefined
    return view.draining ? 0 : view.slots.process
  }

  setSlots (slots: number): void {
    this.#slotsMax = Math.max(this.#slotsMax, slots)
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'slots', slots: { process: slots, inline: slots } })
  }

  /** Whether an attempt of a requester is in an engine or waits for one. */
  isRunning (requester: string, generation: Generation, ref: AttemptRef): boolean {
    return this.#running.has(`${requester}/${attemptName(generation, ref)}`)
  }

  /** Attempts somebody waits for. */
  get active (): number {
    let active = 0
    for (const { orphan } of this.#running.values()) if (!orphan) active++
    return active
  }

  watchOf (requester: string, generation: Generation): PeerWatch | undefined {
    return this.#leases.get(requester)?.streams.get(nameOf(generation))?.watch
  }

  checkKept (): void {
    const now = this.host.monotonic()
    this.#kept.expire(now)
    const { memory, disk } = this.#kept.bytes
    if (memory > KEPT_LIMITS.memoryBytes || disk > KEPT_LIMITS.diskBytes || this.#kept.size > KEPT_LIMITS.entries) throw new Violation(`${this.name} keeps ${this.#kept.size} results, ${memory} and ${disk} bytes`)
    for (const [input, at] of this.#keptAt) {
      if (now - at < KEPT_LIMITS.keepMs + SWEEP_MS) break
      this.#keptAt.delete(input)
    }
    if (this.#kept.size > this.#keptAt.size) throw new Violation(`${this.name} keeps ${this.#kept.size} results, of which only ${this.#keptAt.size} are younger than ${KEPT_LIMITS.keepMs} ms`)
  }

  checkSilence (): void {
    for (const { streams } of this.#leases.values()) for (const { watch } of streams.values()) watch.checkSilence()
  }

  receive (requester: string, stream: Stream, message: ToWorker): void {
    const { generation } = stream
    if (message.type === 'request' && this.#fullFor(requester)) {
      this.refused++
      this.deliver(requester, stream, { type: 'refuse', reason: 'busy', message: `serves ${this.conduct.leasesMax} leases at a time`, retryAfterMs: HINT_MS }, `${requester} is refused by ${this.name}`)
      this.#network.closeByWorker(stream, () => { this.closed(requester, stream) })
      return
    }
    const lease = this.#lease(requester)
    if (message.type === 'request') lease.streams.set(nameOf(generation), { stream, watch: this.#watch(requester, lease, stream) })
    lease.streams.get(nameOf(generation))?.watch.heard()
    if (message.type === 'orders') for (const order of message.orders) lease.ordered.add(attemptName(generation, order))
    this.#obey(requester, lease, generation, { type: 'message', generation, message })
  }

  receiveTask (requester: string, task: TaskStream): void {
    const lease = this.#lease(requester)
    const { generation } = task.stream
    lease.streams.get(nameOf(generation))?.watch.heard()
    lease.tasks.set(attemptName(generation, task.order), task)
    lease.ordered.add(attemptName(generation, task.order))
    this.#obey(requester, lease, generation, { type: 'task-order', generation, order: task.order })
  }

  /** The requester reset the task stream. */
  taskReset (requester: string, generation: Generation, ref: AttemptRef): void {
    const lease = this.#leases.get(requester)
    if (lease == null) return
    this.#stop(requester, generation, ref)
    if (lease.tasks.delete(attemptName(generation, ref))) this.#step(requester, lease, { type: 'task-finished', generation, attempt: ref })
  }

  streamLost (requester: string, generation: Generation): void {
    const lease = this.#leases.get(requester)
    if (lease == null || !this.#forget(lease, generation)) return
    this.#step(requester, lease, { type: 'lost', generation })
  }

  #forget (lease: Lease, generation: Generation): boolean {
    const entry = lease.streams.get(nameOf(generation))
    entry?.watch.stop()
    return lease.streams.delete(nameOf(generation))
  }

  #fullFor (requester: string): boolean {
    let open = 0
    for (const [name, { machine }] of this.#leases) if (machine.inspect().open) {
      if (name === requester) return false
      open++
    }
    return open >= this.conduct.leasesMax
  }

  #lease (requester: string): Lease {
    let lease = this.#leases.get(requester)
    if (lease == null) {
      const slots = { process: this.conduct.slots, inline: this.conduct.slots }
      const machine = createLeaseWorker<SimOrder, SimResult, SimOffer>({
        slots,
        keeps: true,
        retryAfterMs: () => HINT_MS,
        faults: this.#faults as ReadonlySet<never>,
        judge: () => this.#jobs() < this.conduct.jobsMax
          ? { ok: true, pool: 'process' }
          : { ok: false, reason: 'busy', message: `takes ${this.conduct.jobsMax} jobs at a time`, retryAfterMs: HINT_MS },
        refusal: (order, { reason, message, retryAfterMs }) => ({ offer: order.offer, block: order.block, attempt: order.attempt, ok: false, reason, message, weight: 10, value: 'good', wallMs: 0, retryAfterMs })
      })
      lease = { machine, streams: new Map(), tasks: new Map(), newest: undefined, ordered: new Set() }
      if (this.#draining) machine.step({ type: 'drain' }, this.host.utc())
      this.#leases.set(requester, lease)
    }
    return lease
  }

  #jobs (): number {
    let jobs = 0
    for (const { machine } of this.#leases.values()) jobs += machine.inspect().offers.length
    if (jobs >= this.conduct.jobsMax) this.refused++
    return jobs
  }

  #watch (requester: string, lease: Lease, stream: Stream): PeerWatch {
    return new PeerWatch({
      world: this.#world,
      network: this.#network,
      own: this.host,
      remote: this.#requesters.host(requester),
      stream,
      side: 'worker',
      beacons: this.conduct.beacons,
      faults: this.#faults as ReadonlySet<never>,
      other: () => this.#requesters.watch(requester, this.name, stream),
      onTick: () => {},
      onVerdict: (verdict, reason) => {
        if (verdict !== 'dead' || lease.streams.get(nameOf(stream.generation))?.stream !== stream) return
        this.#world.note(`${this.name} gives up ${requester} (${nameOf(stream.generation)}): ${reason}`)
        this.#network.closeByWorker(stream, () => { this.closed(requester, stream) })
        this.streamLost(requester, stream.generation)
      }
    })
  }

  /** An older generation may be answered, but never obeyed. */
  #obey (requester: string, lease: Lease, generation: Generation, event: WorkerEvent<SimOrder, SimResult, SimOffer>): void {
    const old = lease.newest != null && compareGenerations(generation, lease.newest) < 0
    const effects = this.#step(requester, lease, event)
    if (!old) {
      if (effects.some(effect => effect.type === 'send' && effect.message.type === 'grant')) lease.newest = generation
      return
    }
    for (const effect of effects) {
      const obeyed = effect.type === 'start' || effect.type === 'abort' || (effect.type === 'send' && (effect.message.type === 'grant' || effect.message.type === 'accept-offer' || effect.message.type === 'results'))
      if (obeyed) throw new Violation(`${this.name} obeyed ${requester}'s generation ${nameOf(generation)} after ${nameOf(lease.newest as Generation)} (${effect.type})`)
    }
  }

  #step (requester: string, lease: Lease, event: WorkerEvent<SimOrder, SimResult, SimOffer>): Array<WorkerEffect<SimOrder, SimResult, SimOffer>> {
    const effects = lease.machine.step(event, this.host.utc())
    for (const effect of effects) this.#act(requester, lease, effect)
    const { active } = lease.machine.inspect()
    if (active.length > this.#slotsMax) throw new Violation(`${this.name} holds ${active.length} orders of ${requester} and never took more than ${this.#slotsMax}`)
    return effects
  }

  #act (requester: string, lease: Lease, effect: WorkerEffect<SimOrder, SimResult, SimOffer>): void {
    switch (effect.type) {
      case 'send': {
        const stream = lease.streams.get(nameOf(effect.generation))?.stream
        if (effect.message.type === 'results') {
          for (const result of effect.message.results) if (!lease.ordered.has(attemptName(effect.generation, result))) throw new Violation(`${this.name} answers ${result.block}/${result.attempt} to ${requester}, which nobody ordered on that lease`)
        }
        if (stream != null) this.deliver(requester, stream, effect.message, `${requester} gets ${effect.message.type} from ${this.name} (${nameOf(effect.generation)})`)
        break
      }
      case 'start':
        if (this.#draining) throw new Violation(`${this.name} begins ${effect.orders.length} orders of ${requester} though it drains`)
        for (const order of effect.orders) this.#run(requester, lease, effect.generation, order)
        break
      case 'hand-back': {
        const { generation, attempt, task, refusal } = effect
        this.#stop(requester, generation, attempt)
        this.#world.after(1, this.host.life, '', () => {
          this.#finish(requester, lease, generation, { ...attempt, ok: false, reason: refusal.reason, message: refusal.message, weight: 10, value: 'good', wallMs: 0, retryAfterMs: refusal.retryAfterMs }, task)
        })
        break
      }
      case 'orphan': this.#orphan(requester, effect.generation, effect.attempt); break
      case 'undelivered': for (const result of effect.results) if (result.ok && result.input != null) this.#keep(requester, result.input, result); break
      case 'refuse-task': {
        const { order, reason, message, retryAfterMs } = effect
        const task = [...lease.tasks.values()].find(({ order: known }) => known === order)
        if (task == null) break
        lease.tasks.delete(attemptName(task.stream.generation, order))
        task.settle({ offer: order.offer, block: order.block, attempt: order.attempt, ok: false, reason, message, weight: 0, value: 'good', wallMs: 0, retryAfterMs })
        break
      }
      case 'abort': {
        const { generation, attempt, task } = effect
        this.#stop(requester, generation, attempt)
        // The engine is killed and says so; for a task stream the reset already ended it.
        this.#world.after(1, this.host.life, '', () => { this.#finish(requester, lease, generation, { ...attempt, ok: false, reason: 'cancelled', message: 'cancelled', weight: 10, value: 'good', wallMs: 0 }, task) })
        break
      }
      case 'close': {
        const stream = lease.streams.get(nameOf(effect.generation))?.stream
        if (stream == null) break
        this.#forget(lease, effect.generation)
        this.#network.closeByWorker(stream, () => { this.closed(requester, stream) })
        break
      }
      case 'violation': throw new Violation(`${this.name} calls ${requester} in breach: ${effect.message}`)
      case 'stale':
      case 'drained': break
    }
  }

  #run (requester: string, lease: Lease, generation: Generation, order: SimOrder): void {
    const key = `${requester}/${attemptName(generation, order)}`
    if (this.#running.has(key)) throw new Violation(`${this.name} started ${key} twice`)
    const { offer, block, attempt } = order
    const task = lease.tasks.has(attemptName(generation, order))
    const running: Running = { life: new Life(), requester, generation, order, start: undefined, orphan: false, heir: undefined, earlier: undefined }
    this.#running.set(key, running)
    const answer = (result: SimResult): void => {
      this.#leave(key, running)
      if (running.heir != null) running.heir(result)
      else if (running.orphan) {
        // On the lease the machine decides what becomes of it.
        if (!task) this.#step(requester, lease, { type: 'finished', generation, results: [{ ...result, offer, block, attempt }] })
        else if (result.ok) this.#keep(requester, order.input, result)
      } else this.#finish(requester, lease, generation, { ...result, offer, block, attempt }, task)
    }
    running.start = () => {
      running.start = undefined
      this.#engines++
      this.#step(requester, lease, { type: 'begun', generation, attempt: { offer, block, attempt } })
      const earlier = this.#earlier(requester, order.input, running)
      if (earlier != null) {
        earlier.orphan = false
        earlier.heir = answer
        running.earlier = `${requester}/${attemptName(earlier.generation, earlier.order)}`
        return
      }
      const kept = this.#kept.take(requester, order.input, this.host.monotonic())
      if (kept != null) this.#reuse(requester, order, kept, running.life, answer)
      else this.#convert(order, running.life, answer)
    }
    if (this.#engines < this.conduct.engines) running.start()
  }

  /** The same conversion for the same requester, at work since before its lease was lost. */
  #earlier (requester: string, input: string, except: Running): Running | undefined {
    for (const running of this.#running.values()) if (running !== except && running.orphan && running.requester === requester && running.order.input === input) return running
    return undefined
  }

  #reuse (requester: string, order: SimOrder, kept: Kept, life: Life, answer: (result: SimResult) => void): void {
    if (kept.input !== order.input || kept.requester !== requester) throw new Violation(`${this.name} answers ${order.input} of ${requester} with what it made of ${kept.input} for ${kept.requester}`)
    this.reused++
    this.#world.after(this.#world.random.between(0.1, 5), life, '', () => { answer(kept.result) })
  }

  #convert (order: SimOrder, life: Life, answer: (result: SimResult) => void): void {
    const { random } = this.#world
    const { offer, block, attempt, input } = order
    if (random.chance(this.conduct.hangs)) return
    const wallMs = order.size / this.conduct.speed * random.between(0.7, 1.3) * (random.chance(this.conduct.stragglers) ? 10 : 1) * (this.#world.now < this.slowUntil ? 10 : 1)
    const crashed = random.chance(this.conduct.crashes) || order.poison
    const value = random.chance(this.conduct.lies) ? this.conduct.lie : 'good'
    const mine = this.host.life
    this.#world.after(wallMs, life, '', () => {
      // The engine is another process: its end is seen when the main loop has a turn.
      this.#world.after(0, mine, '', () => {
        if (life.over) return
        const base = { offer, block, attempt, weight: 50, wallMs }
        answer(crashed ? { ...base, ok: false, reason: 'crash', message: 'the engine crashed', value: 'good' } : { ...base, ok: true, value, input })
      })
    })
  }

  #orphan (requester: string, generation: Generation, ref: AttemptRef): void {
    const key = `${requester}/${attemptName(generation, ref)}`
    const running = this.#running.get(key)
    if (running == null) return
    running.orphan = true
    this.#world.after(ORPHAN_MS, this.host.life, '', () => { if (running.orphan) this.#halt(key) })
  }

  #keep (requester: string, input: string, result: SimResult): void {
    this.#keptAt.delete(`${requester}/${input}`)
    this.#keptAt.set(`${requester}/${input}`, this.host.monotonic())
    // By its size as the wire has it: small ones lie in memory.
    this.#kept.put(requester, input, { value: { result, requester, input }, bytes: result.weight, place: result.block % 2 === 0 ? 'memory' : 'disk' }, this.host.monotonic())
  }

  /** Its engine is free for the next that waits. */
  #leave (key: string, running: Running): void {
    running.life.over = true
    if (!this.#running.delete(key) || running.start != null) return
    this.#engines--
    if (this.#engines >= this.conduct.engines) return
    for (const { start } of this.#running.values()) {
      if (start == null) continue
      start()
      return
    }
  }

  #finish (requester: string, lease: Lease, generation: Generation, result: SimResult, task: boolean): void {
    if (!task) {
      this.#step(requester, lease, { type: 'finished', generation, results: [result] })
      return
    }
    const name = attemptName(generation, result)
    const found = lease.tasks.get(name)
    if (found == null) return
    lease.tasks.delete(name)
    found.settle(result)
    this.#step(requester, lease, { type: 'task-finished', generation, attempt: result })
  }

  #stop (requester: string, generation: Generation, ref: AttemptRef): void {
    const key = `${requester}/${attemptName(generation, ref)}`
    this.#halt(key)
  }

  /** What it took over stops with it. */
  #halt (key: string): void {
    const running = this.#running.get(key)
    if (running == null) return
    this.#leave(key, running)
    if (running.earlier != null) this.#halt(running.earlier)
  }
}
