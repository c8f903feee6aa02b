/** A requester: its jobs, a production lease machine per worker, and the service between them as the daemon has it. */
import { compareGenerations, type AttemptRef, type Generation } from '../../daemon/task-protocol/lease-model.ts'
import { createLeaseRequester } from '../../daemon/task-protocol/lease-requester.ts'
import type { LeaseRequester, RequesterEffect, RequesterEvent } from '../../daemon/task-protocol/lease-requester-events.ts'
import { Disk, type DiskProfile, type JobRecord } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import { limitOf, tooDear } from '../../daemon/coordinator/prices.ts'
import { Host } from './host.ts'
import { LARGE_BYTES, UNIT, type Fault, type SimOffer, type SimOrder, type SimResult, type ToRequester } from './model.ts'
import type { Network, Stream } from './network.ts'
import { PeerWatch } from './peer-watch.ts'
import { newHistory, SimJob, type JobHistory, type JobHost, type JobPlan } from './sim-job.ts'
import { nameOf, type TaskStream, type WorkerNode } from './worker-node.ts'
import { Violation, type World } from './world.ts'

/** How long after a cancel over an undisturbed connection the worker must have stopped, milliseconds. */
const CANCEL_LIMIT_MS = 2000
/** How long both ends of an undisturbed lease may believe different things: longer than any message is under way. Milliseconds. */
const BOOKS_MS = 3000
/** Keys of what is known of peers that lied. */
const BAD = 'bad/'
/** How long a lease is kept that no job uses, milliseconds. */
const IDLE_MS = 1500
/** How long a requester that gave a worker up may still read what comes, milliseconds. */
const LINGER_MS = 2500

interface Lease {
  worker: WorkerNode
  machine: LeaseRequester<SimOrder, SimResult, SimOffer>
  stream: Stream | undefined
  watch: PeerWatch | undefined
  tasks: Map<string, TaskStream>
  /** Offers on the lease and what became of them. */
  offers: Map<number, { job: SimJob, accepted: boolean }>
  slotsMax: number
  /** The worker said that it drains. */
  draining: boolean
  /** Orders the worker does not have, and since when; since when it takes another number than is believed here. */
  missing: Map<string, number>
  differsSince: number
  /** When a job last used it. */
  usedAt: number
}

export class RequesterNode {
  readonly name: string
  readonly disk: Disk
  readonly host: Host
  readonly #world: World
  readonly #network: Network
  readonly #workers: WorkerNode[]
  readonly #faults: ReadonlySet<Fault>
  /** Durable before the first grant. */
  #incarnation = 1
  #counter = 0
  #nextOffer = 1
  #leases = new Map<string, Lease>()
  /** All offers of this life, for results that come late. */
  #offers = new Map<number, SimJob>()
  readonly jobs = new Map<string, SimJob>()
  readonly histories = new Map<string, JobHistory>()
  readonly results = new Map<string, string>()
  /** Workers that gave one of its jobs a wrong result; forgotten with the process, as in the daemon. */
  #distrusted = new Map<string, string>()
  /** What each worker asks, as this node heard it. */
  readonly #asked = new Map<string, Asked>()
  late = 0
  resumed = 0
  #suspicions = 0

  constructor (name: string, world: World, network: Network, workers: WorkerNode[], disk: DiskProfile, faults: ReadonlySet<Fault>) {
    this.name = name
    this.host = new Host(name, world, faults as ReadonlySet<never>)
    this.disk = new Disk(world, this.host, disk)
    this.#world = world
    this.#network = network
    this.#workers = workers
    this.#faults = faults
    for (const { name: worker, conduct } of workers) this.#asked.set(worker, conduct.asked)
  }

  get up (): boolean { return this.host.up }

  submit (plan: JobPlan): void {
    if (!this.up) {
      this.results.set(plan.id, 'not submitted')
      return
    }
    const history = newHistory(plan.id, this.#world, this.host)
    this.histories.set(plan.id, history)
    this.#begin(plan, history)
  }

  #begin (plan: JobPlan, history: JobHistory): void {
    const job = new SimJob(plan, this.#world, this.disk, this.host, this.#faults, this.#host(plan.id), history, new Set(this.#distrusted.keys()))
    this.jobs.set(plan.id, job)
    job.start()
    for (const worker of this.#workers) this.#attachLater(job, worker, this.#world.random.between(0, 300))
    this.#world.after(2000, this.host.life, '', () => { job.push({ type: 'settled', count: this.#workers.length }) })
  }

  /** A worker's new price reached this node. */
  hears (worker: string, asked: Asked): void {
    this.#asked.set(worker, asked)
    for (const job of this.jobs.values()) if (job.end == null) job.push({ type: 'priced', worker, asked })
  }

  crash (): void {
    this.host.crash()
    this.disk.crash()
    for (const { watch } of this.#leases.values()) watch?.stop()
    this.#leases = new Map()
    this.#offers = new Map()
    this.#distrusted = new Map()
  }

  /** What the coordinator does at start: jobs that had not ended go on. */
  restart (): void {
    this.host.restart()
    this.#incarnation++
    this.#counter = 0
    for (const [key, reason] of this.disk.journal) if (key.startsWith(BAD)) this.#distrusted.set(key.slice(BAD.length), reason as string)
    for (const [id, job] of this.jobs) {
      const record = this.disk.journal.get(`job/${id}`) as JobRecord | undefined
      if (record?.phase === 'ended') {
        job.clear()
        continue
      }
      const file = this.disk.output(id)
      file.partial = undefined
      if (record?.phase !== 'renaming' && file.final != null) throw new Violation(`after its crash ${this.name} has an output of ${id} that no record announces`, { job: id })
      job.watch.output(file, job.plan.sizes.length)
      if (file.final != null) {
        this.results.set(id, 'done')
        this.disk.append(`job/${id}`, { phase: 'ended', state: 'done' }, () => {})
        job.clear()
        continue
      }
      this.results.delete(id)
      if (record == null) {
        // Nobody was told that it was taken.
        this.results.set(id, 'not submitted')
        continue
      }
      this.#world.note(`${this.name} goes on with ${id}`)
      this.resumed++
      this.#begin(job.plan, job.history)
    }
  }

  /** Every lease's far end is looked at. */
  checkSilence (): void {
    for (const { watch } of this.#leases.values()) watch?.checkSilence()
  }

  checkProgress (): void {
    if (!this.up || this.#world.now < this.host.life.idleUntil) return
    for (const job of this.jobs.values()) {
      if (job.end == null) job.watch.checkProgress(worker => this.#leases.get(worker)?.watch?.verdict === 'alive')
    }
  }

  /** What both ends of an undisturbed lease believe must agree after a while: which orders are out, and how many are taken. */
  checkBooks (): void {
    const { now } = this.#world
    for (const lease of this.#leases.values()) {
      const { stream, worker, machine, missing } = lease
      if (stream == null || !this.up) continue
      const { host } = worker
      const quiet = stream.workerLife === host.life && !host.life.over && now - Math.max(stream.disturbedUntil, stream.links[0].busyUntil, stream.links[1].busyUntil, host.hungUntil, host.life.idleUntil, this.host.life.idleUntil, this.host.hungUntil) > CANCEL_LIMIT_MS
      const { outstanding, slots, state } = machine.inspect()
      if (!quiet || state !== 'granted') {
        missing.clear()
        lease.differsSince = Infinity
        continue
      }
      const lacking = new Set<string>()
      for (const ref of outstanding) {
        if (worker.holds(this.name, stream.generation, ref)) continue
        const name = `${ref.offer}/${ref.block}/${ref.attempt}`
        lacking.add(name)
        const since = missing.get(name) ?? now
        missing.set(name, since)
        if (now - since > BOOKS_MS) throw new Violation(`${this.name} waits for block ${ref.block} (attempt ${ref.attempt}) at ${worker.name}, which does not have it`, { job: this.#offers.get(ref.offer)?.plan.id, block: ref.block })
      }
      for (const name of missing.keys()) if (!lacking.has(name)) missing.delete(name)
      const taken = worker.slotsFor(this.name, stream.generation)
      if (taken == null || taken === slots.process) lease.differsSince = Infinity
      else lease.differsSince = Math.min(lease.differsSince, now)
      if (now - lease.differsSince > BOOKS_MS) throw new Violation(`${this.name} believes that ${worker.name} takes ${slots.process} orders; it takes ${taken}`)
    }
  }

  watchOf (worker: string, stream: Stream): PeerWatch | undefined {
    const lease = this.#leases.get(worker)
    return lease?.stream === stream ? lease.watch : undefined
  }

  get suspicions (): number {
    return this.#suspicions
  }

  receive (worker: WorkerNode, stream: Stream, message: ToRequester): void {
    const lease = this.#leases.get(worker.name)
    if (lease == null) return
    const { generation } = stream
    if (lease.stream === stream) lease.watch?.heard()
    const current = lease.machine.inspect().generation
    if (message.type === 'slots' && lease.stream === stream) lease.draining = message.draining
    const effects = this.#step(lease, { type: 'message', generation, message })
    if (current == null || compareGenerations(generation, current) >= 0) return
    for (const { type } of effects) {
      if (type !== 'late' && type !== 'stale') throw new Violation(`${this.name} obeyed ${worker.name}'s generation ${nameOf(generation)} after ${nameOf(current)} (${type})`)
    }
  }

  /** The stream is closed or cut as seen from here. */
  streamLost (worker: WorkerNode, stream: Stream, reason: string): void {
    const lease = this.#leases.get(worker.name)
    if (lease != null) this.#step(lease, { type: 'lost', generation: stream.generation, reason })
  }

  taskSettled (worker: WorkerNode, task: TaskStream, result: SimResult): void {
    const lease = this.#leases.get(worker.name)
    if (lease == null || !lease.tasks.delete(taskName(task.stream.generation, task.order))) return
    this.#network.streams.delete(task.stream)
    if (lease.stream?.generation === task.stream.generation) lease.watch?.heard()
    this.#step(lease, { type: 'task-settled', generation: task.stream.generation, result })
  }

  /** Open task streams, for the scenario to break. */
  tasks (): Array<{ worker: WorkerNode, task: TaskStream }> {
    return [...this.#leases.values()].flatMap(({ worker, tasks }) => [...tasks.values()].map(task => ({ worker, task })))
  }

  /** Open leases, for the scenario to trouble. */
  leases (): Array<{ worker: string, stream: Stream }> {
    return [...this.#leases.values()].flatMap(({ worker, stream }) => stream == null ? [] : [{ worker: worker.name, stream }])
  }

  /** A fault of its own makes it drop a lease and ask for a new one. */
  dropLease (worker: string, stream: Stream): void {
    const lease = this.#leases.get(worker)
    if (lease?.stream === stream) this.#abandon(lease, stream, 'dropped')
  }

  outstanding (): number {
    let total = 0
    for (const { machine } of this.#leases.values()) total += machine.inspect().outstanding.length
    return total
  }

  #host (id: string): JobHost {
    return {
      dispatch: (name, orders) => {
        const [lease, offer] = this.#offerOf(name, id)
        if (lease == null || offer == null) throw new Violation(`job ${id} orders from ${name}, which it is not attached to`)
        this.#step(lease, { type: 'orders', offer, orders: orders.map(({ block, attempt, size, poison, input }) => ({ offer, block, attempt, size, poison, input, weight: size > LARGE_BYTES ? 0 : size, large: size > LARGE_BYTES })) })
      },
      cancel: (name, attempts) => {
        const [lease, offer] = this.#offerOf(name, id)
        if (lease == null || offer == null) return
        const refs = attempts.map(({ block, attempt }) => ({ offer, block, attempt }))
        this.#oblige(lease, refs)
        this.#step(lease, { type: 'cancel', attempts: refs })
      },
      release: name => {
        const [lease, offer] = this.#offerOf(name, id)
        if (lease == null || offer == null) return
        lease.offers.delete(offer)
        this.#oblige(lease, lease.machine.inspect().outstanding.filter(ref => ref.offer === offer))
        this.#step(lease, { type: 'withdraw', offer })
      },
      caught: (name, reason) => {
        if (this.#distrusted.has(name)) return
        this.#distrusted.set(name, reason)
        this.disk.append(`${BAD}${name}`, reason, () => {})
        for (const job of this.jobs.values()) if (job.plan.id !== id && job.end == null) job.push({ type: 'distrusted', worker: name, reason })
      },
      ended: job => {
        this.results.set(id, job.end?.state === 'failed' ? `failed (${job.end.error?.code})` : job.end?.state ?? '')
        // Workers it was still asking to join are not needed any more.
        for (const lease of this.#leases.values()) {
          for (const [offer, entry] of lease.offers) {
            if (entry.job !== job) continue
            lease.offers.delete(offer)
            this.#step(lease, { type: 'withdraw', offer })
          }
        }
      }
    }
  }

  #offerOf (worker: string, job: string): [Lease | undefined, number | undefined] {
    const lease = this.#leases.get(worker)
    for (const [offer, entry] of lease?.offers ?? []) if (entry.job.plan.id === job && entry.accepted) return [lease, offer]
    return [lease, undefined]
  }

  #attachLater (job: SimJob, worker: WorkerNode, delayMs: number): void {
    this.#world.after(delayMs, this.host.life, '', () => {
      if (job.end != null || job.watch.banned.has(worker.name) || this.#distrusted.has(worker.name)) return
      if (tooDear(this.#asked.get(worker.name) as Asked, limitOf(job.plan.maxPrice, UNIT)) != null) {
        // As the daemon does: not asked, and looked at again when more is heard of it.
        this.#attachLater(job, worker, this.#world.random.between(20, 700))
        return
      }
      const lease = this.#lease(worker)
      for (const entry of lease.offers.values()) if (entry.job === job) return
      const { state } = lease.machine.inspect()
      if (state !== 'asked' && state !== 'granted') this.#open(lease)
      const offer = this.#nextOffer++
      lease.offers.set(offer, { job, accepted: false })
      this.#offers.set(offer, job)
      this.#step(lease, { type: 'offer', offer: { offer, deadline: 0, job: job.plan.id } })
    })
  }

  #lease (worker: WorkerNode): Lease {
    let lease = this.#leases.get(worker.name)
    if (lease == null) {
      lease = { worker, machine: createLeaseRequester<SimOrder, SimResult, SimOffer>({ faults: this.#faults as ReadonlySet<never> }), stream: undefined, watch: undefined, tasks: new Map(), offers: new Map(), slotsMax: 0, usedAt: 0, draining: false, missing: new Map(), differsSince: Infinity }
      this.#leases.set(worker.name, lease)
    }
    return lease
  }

  #open (lease: Lease): void {
    const generation: Generation = { incarnation: this.#incarnation, counter: ++this.#counter }
    const stream = this.#network.open(this.host, lease.worker.host, generation)
    lease.stream = stream
    lease.slotsMax = 0
    lease.draining = false
    lease.missing.clear()
    lease.usedAt = this.#world.now
    lease.watch = this.#watch(lease, stream)
    this.#step(lease, { type: 'open', generation })
  }

  /** The failure detector over the worker; its verdicts go to the jobs it works for. */
  #watch (lease: Lease, stream: Stream): PeerWatch {
    const { worker } = lease
    return new PeerWatch({
      world: this.#world,
      network: this.#network,
      own: this.host,
      remote: worker.host,
      stream,
      side: 'requester',
      beacons: worker.conduct.beacons,
      faults: this.#faults as ReadonlySet<never>,
      other: () => worker.watchOf(this.name, stream.generation),
      onTick: () => {
        if (lease.stream !== stream) return
        this.#step(lease, { type: 'tick' })
        this.#closeIdle(lease, stream)
      },
      onVerdict: (verdict, reason) => {
        if (lease.stream !== stream) return
        if (verdict === 'dead') {
          this.#world.note(`${this.name} gives up ${worker.name} (${nameOf(stream.generation)}): ${reason}`)
          this.#abandon(lease, stream, reason)
          return
        }
        if (verdict === 'suspect') this.#suspicions++
        this.#world.note(`${this.name} ${verdict === 'suspect' ? 'doubts' : 'trusts'} ${worker.name}: ${reason}`)
        for (const { job, accepted } of lease.offers.values()) {
          if (accepted) job.push(verdict === 'suspect' ? { type: 'suspect', worker: worker.name, reason } : { type: 'trusted', worker: worker.name })
        }
      }
    })
  }

  /** A lease no job uses is given back after a while: somebody else may be waiting for it. */
  #closeIdle (lease: Lease, stream: Stream): void {
    if (lease.offers.size > 0 || lease.machine.inspect().offers.length > 0) {
      lease.usedAt = this.#world.now
      return
    }
    if (this.#world.now - lease.usedAt < IDLE_MS) return
    lease.watch?.stop()
    this.#network.closeByRequester(stream, () => { if (lease.worker.up) lease.worker.streamLost(this.name, stream.generation) })
    this.#step(lease, { type: 'lost', generation: stream.generation, reason: 'not used any more' })
  }

  /** Gives a lease up. Sometimes the old streams are still read for a while: what comes then is late, but a result. */
  #abandon (lease: Lease, stream: Stream, reason: string): void {
    const { worker } = lease
    lease.watch?.stop()
    const tasks = [...lease.tasks.values()]
    const close = (): void => {
      this.#network.closeByRequester(stream, () => { if (worker.up) worker.streamLost(this.name, stream.generation) })
      for (const { stream: own, order } of tasks) this.#network.closeByRequester(own, () => { if (worker.up) worker.taskReset(this.name, own.generation, order) })
    }
    if (this.#world.random.chance(0.5)) close()
    else this.#world.after(LINGER_MS, this.host.life, '', close)
    this.#step(lease, { type: 'lost', generation: stream.generation, reason })
  }

  #step (lease: Lease, event: RequesterEvent<SimOrder, SimResult, SimOffer>): Array<RequesterEffect<SimOrder, SimResult, SimOffer>> {
    const effects = lease.machine.step(event, this.host.monotonic())
    for (const effect of effects) this.#act(lease, effect)
    const { slots, credits, outstanding, queued, state } = lease.machine.inspect()
    if (lease.draining && state === 'granted' && queued > 0) throw new Violation(`${this.name} keeps ${queued} orders for ${lease.worker.name}, which drains`)
    lease.slotsMax = Math.max(lease.slotsMax, slots.process)
    const used = slots.process - credits.process
    if (used !== outstanding.length) throw new Violation(`${this.name} counts ${used} credits of ${lease.worker.name} for ${outstanding.length} orders`)
    if (used > lease.slotsMax) throw new Violation(`${this.name} has ${used} orders at ${lease.worker.name}, which never took more than ${lease.slotsMax}`)
    return effects
  }

  #act (lease: Lease, effect: RequesterEffect<SimOrder, SimResult, SimOffer>): void {
    const { worker } = lease
    switch (effect.type) {
      case 'send': {
        const { stream } = lease
        if (stream == null || compareGenerations(stream.generation, effect.generation) !== 0) break
        const { message } = effect
        const bytes = message.type === 'orders' ? message.orders.reduce((sum, { weight }) => sum + weight, 0) : 0
        this.#network.send(stream, 0, `${worker.name} gets ${message.type} from ${this.name} (${nameOf(effect.generation)})`, () => { worker.receive(this.name, stream, message) }, bytes)
        break
      }
      case 'open-task': this.#openTask(lease, effect.generation, effect.order); break
      case 'reset-task': this.#resetTask(lease, effect.generation, effect.attempt); break
      case 'offer-accepted': {
        const entry = lease.offers.get(effect.offer)
        if (entry == null) break
        entry.accepted = true
        if (this.#distrusted.has(worker.name)) {
          // Caught by another job while this one was attaching it.
          lease.offers.delete(effect.offer)
          this.#step(lease, { type: 'withdraw', offer: effect.offer })
          break
        }
        entry.job.push({ type: 'joined', worker: worker.name, kind: 'remote', slots: effect.slots, asked: this.#asked.get(worker.name) })
        if (lease.watch?.verdict === 'suspect') entry.job.push({ type: 'suspect', worker: worker.name, reason: 'doubted before it joined' })
        break
      }
      case 'offer-refused': this.#again(lease, [effect.offer], effect.retryAfterMs); break
      case 'outcomes': for (const result of effect.results) this.#offers.get(effect.offer)?.outcome(worker.name, result); break
      case 'failed': for (const { block, attempt } of effect.orders) {
        this.#offers.get(effect.offer)?.push({ type: 'failed', worker: worker.name, block, attempt, reason: effect.reason, message: effect.message })
      } break
      // Dropped, as the daemon does: its block was given to somebody else when the lease was lost.
      case 'late':
        if (effect.result.ok) this.late++
        break
      case 'slots': lease.offers.get(effect.offer)?.job.push({ type: 'slots', worker: worker.name, slots: effect.slots }); break
      case 'lost': {
        for (const offer of effect.offers) {
          const entry = lease.offers.get(offer)
          if (entry?.accepted === true) entry.job.push({ type: 'lost', worker: worker.name, reason: effect.reason })
        }
        this.#again(lease, [...lease.offers.keys()])
        lease.watch?.stop()
        lease.stream = undefined
        break
      }
      case 'refused':
        this.#again(lease, [...lease.offers.keys()], effect.retryAfterMs)
        lease.watch?.stop()
        lease.stream = undefined
        break
      case 'violation': throw new Violation(`${this.name} calls ${worker.name} in breach: ${effect.message}`)
      case 'granted':
      case 'stale': break
    }
  }

  /** Tries once more under a new offer, a little later, and not before the worker said that it makes sense. */
  #again (lease: Lease, offers: number[], hintMs = 0): void {
    for (const offer of offers) {
      const entry = lease.offers.get(offer)
      lease.offers.delete(offer)
      if (entry != null) this.#attachLater(entry.job, lease.worker, hintMs + this.#world.random.between(20, 700))
    }
  }

  #openTask (lease: Lease, generation: Generation, order: SimOrder): void {
    const { worker } = lease
    const stream = this.#network.open(this.host, worker.host, generation)
    const task: TaskStream = {
      stream,
      order,
      settle: result => { this.#network.send(stream, 1, `${this.name} gets the end of task ${order.block}/${order.attempt} from ${worker.name}`, () => { this.taskSettled(worker, task, result) }) }
    }
    lease.tasks.set(taskName(generation, order), task)
    this.#network.send(stream, 0, `${worker.name} gets task ${order.block}/${order.attempt} of ${this.name}`, () => { worker.receiveTask(this.name, task) }, order.size)
  }

  #resetTask (lease: Lease, generation: Generation, ref: AttemptRef): void {
    const task = lease.tasks.get(taskName(generation, ref))
    if (task == null) return
    const { worker } = lease
    this.#network.closeByRequester(task.stream, () => { if (worker.up) worker.taskReset(this.name, generation, ref) })
    this.#world.after(0.1, this.host.life, '', () => { this.taskSettled(worker, task, { ...ref, ok: false, reason: 'cancelled', message: 'cancelled', weight: 0, value: 'good', wallMs: 0 }) })
  }

  /** Cancelled work must stop at the worker soon, as long as the connection is undisturbed. */
  #oblige (lease: Lease, refs: AttemptRef[]): void {
    const { stream, worker } = lease
    if (stream == null || refs.length === 0) return
    const since = this.#world.now
    const workerLife = worker.host.life
    this.#world.after(CANCEL_LIMIT_MS, this.host.life, '', () => {
      if (workerLife.over || lease.stream !== stream || stream.disturbedUntil >= since || stream.links[0].busyUntil >= since || worker.host.hungUntil >= since || worker.host.life.idleUntil >= since || !this.#network.streams.has(stream)) return
      if (!this.#network.reaches(this.name, worker.name)) return
      for (const ref of refs) {
        if (worker.isRunning(this.name, stream.generation, ref)) throw new Violation(`${worker.name} still works on ${ref.block}/${ref.attempt} of ${this.name}, cancelled ${CANCEL_LIMIT_MS} ms ago`)
      }
    })
  }
}

function taskName (generation: Generation, { offer, block, attempt }: AttemptRef): string {
  return `${nameOf(generation)}/${offer}/${block}/${attempt}`
}
