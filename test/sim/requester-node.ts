/** A requester: its jobs, a production lease machine per worker, and the service between them as the daemon has it. */
import { compareGenerations, type AttemptRef, type Generation } from '../../daemon/task-protocol/lease-model.ts'
import { createLeaseRequester } from '../../daemon/task-protocol/lease-requester.ts'
import type { LeaseRequester, RequesterEffect, RequesterEvent } from '../../daemon/task-protocol/lease-requester-events.ts'
import type { Disk, JobRecord } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import { limitOf, tooDear } from '../../daemon/coordinator/prices.ts'
import { BEAT_MS, LARGE_BYTES, SILENCE_MS, UNIT, type Fault, type SimOffer, type SimOrder, type SimResult, type ToRequester } from './model.ts'
import type { Network, Stream } from './network.ts'
import { SimJob, type JobHost, type JobPlan } from './sim-job.ts'
import { nameOf, type TaskStream, type WorkerNode } from './worker-node.ts'
import { Violation, type Life, type World } from './world.ts'

/** How long after a cancel over an undisturbed connection the worker must have stopped, milliseconds. */
const CANCEL_LIMIT_MS = 2000
/** How long a requester that gave a worker up may still read what comes, milliseconds. */
const LINGER_MS = 2500

interface Lease {
  worker: WorkerNode
  machine: LeaseRequester<SimOrder, SimResult, SimOffer>
  stream: Stream | undefined
  tasks: Map<string, TaskStream>
  /** Offers on the lease and what became of them. */
  offers: Map<number, { job: SimJob, accepted: boolean }>
  slotsMax: number
}

export class RequesterNode {
  readonly name: string
  readonly disk: Disk
  life: Life = { over: false }
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
  readonly results = new Map<string, string>()
  /** Workers that gave one of its jobs a wrong result; forgotten with the process, as in the daemon. */
  #distrusted = new Map<string, string>()
  /** What each worker asks, as this node heard it. */
  readonly #asked = new Map<string, Asked>()
  late = 0

  constructor (name: string, world: World, network: Network, workers: WorkerNode[], disk: Disk, faults: ReadonlySet<Fault>) {
    this.name = name
    this.disk = disk
    this.#world = world
    this.#network = network
    this.#workers = workers
    this.#faults = faults
    for (const { name: worker, conduct } of workers) this.#asked.set(worker, conduct.asked)
  }

  get up (): boolean { return !this.life.over }

  submit (plan: JobPlan): void {
    if (!this.up) {
      this.results.set(plan.id, 'not submitted')
      return
    }
    const job = new SimJob(plan, this.#world, this.disk, this.life, this.#faults, this.#host(plan.id))
    this.jobs.set(plan.id, job)
    job.start()
    for (const worker of this.#workers) this.#attachLater(job, worker, this.#world.random.between(0, 300))
    this.#world.after(2000, this.life, '', () => { job.push({ type: 'settled', count: this.#workers.length }) })
  }

  /** A worker's new price reached this node. */
  hears (worker: string, asked: Asked): void {
    this.#asked.set(worker, asked)
    for (const job of this.jobs.values()) if (job.end == null) job.push({ type: 'priced', worker, asked })
  }

  crash (): void {
    this.life.over = true
    this.disk.crash()
    this.#leases = new Map()
    this.#offers = new Map()
    this.#distrusted = new Map()
  }

  /** What the coordinator does at start: unfinished jobs are ended, what was left is removed. */
  restart (): void {
    this.life = { over: false }
    this.#incarnation++
    this.#counter = 0
    for (const [id, job] of this.jobs) {
      if (job.end != null) continue
      const record = this.disk.journal.get(`job/${id}`) as JobRecord | undefined
      const file = this.disk.output(id)
      file.partial = undefined
      if (record?.phase !== 'renaming' && record?.phase !== 'ended' && file.final != null) throw new Violation(`after its crash ${this.name} has an output of ${id} that no record announces`)
      job.watch.output(file, job.plan.sizes.length)
      this.results.set(id, file.final == null ? 'interrupted' : 'done')
      this.jobs.delete(id)
    }
  }

  receive (worker: WorkerNode, stream: Stream, message: ToRequester): void {
    const lease = this.#leases.get(worker.name)
    if (lease == null) return
    const { generation } = stream
    const current = lease.machine.inspect().generation
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
        this.#step(lease, { type: 'orders', offer, orders: orders.map(({ block, attempt, size }) => ({ offer, block, attempt, size, weight: size > LARGE_BYTES ? 0 : size, large: size > LARGE_BYTES })) })
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
    this.#world.after(delayMs, this.life, '', () => {
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
      lease = { worker, machine: createLeaseRequester<SimOrder, SimResult, SimOffer>({ faults: this.#faults as ReadonlySet<never> }), stream: undefined, tasks: new Map(), offers: new Map(), slotsMax: 0 }
      this.#leases.set(worker.name, lease)
    }
    return lease
  }

  #open (lease: Lease): void {
    const generation: Generation = { incarnation: this.#incarnation, counter: ++this.#counter }
    const stream = this.#network.open(this, lease.worker, generation)
    lease.stream = stream
    lease.slotsMax = 0
    this.#watchSilence(lease, stream)
    this.#step(lease, { type: 'open', generation })
  }

  /** Gives the worker up after silence; a beat passes when both directions of the network do. */
  #watchSilence (lease: Lease, stream: Stream): void {
    let heardAt = this.#world.now
    const look = (): void => {
      if (lease.stream !== stream) return
      const { worker } = lease
      if (this.#network.hears(stream, 1)) heardAt = this.#world.now
      if (this.#world.now - heardAt > SILENCE_MS) {
        this.#world.note(`${this.name} gives up ${worker.name} (${nameOf(stream.generation)})`)
        this.#abandon(lease, stream, 'silent')
        return
      }
      this.#step(lease, { type: 'tick' })
      this.#world.after(BEAT_MS, this.life, '', look)
    }
    this.#world.after(BEAT_MS, this.life, '', look)
  }

  /** Gives a lease up. Sometimes the old streams are still read for a while: what comes then is late, but a result. */
  #abandon (lease: Lease, stream: Stream, reason: string): void {
    const { worker } = lease
    const tasks = [...lease.tasks.values()]
    const close = (): void => {
      this.#network.closeByRequester(stream, () => { if (worker.up) worker.streamLost(this.name, stream.generation) })
      for (const { stream: own, order } of tasks) this.#network.closeByRequester(own, () => { if (worker.up) worker.taskReset(this.name, own.generation, order) })
    }
    if (this.#world.random.chance(0.5)) close()
    else this.#world.after(LINGER_MS, this.life, '', close)
    this.#step(lease, { type: 'lost', generation: stream.generation, reason })
  }

  #step (lease: Lease, event: RequesterEvent<SimOrder, SimResult, SimOffer>): Array<RequesterEffect<SimOrder, SimResult, SimOffer>> {
    const effects = lease.machine.step(event, this.#world.now)
    for (const effect of effects) this.#act(lease, effect)
    const { slots, credits, outstanding } = lease.machine.inspect()
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
        this.#network.send(stream, 0, `${worker.name} gets ${message.type} from ${this.name} (${nameOf(effect.generation)})`, () => { worker.receive(this.name, stream, message) })
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
        break
      }
      case 'offer-refused': this.#again(lease, [effect.offer]); break
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
        lease.stream = undefined
        break
      }
      case 'refused':
        this.#again(lease, [...lease.offers.keys()])
        lease.stream = undefined
        break
      case 'violation': throw new Violation(`${this.name} calls ${worker.name} in breach: ${effect.message}`)
      case 'granted':
      case 'stale': break
    }
  }

  /** Tries once more, a little later, under a new offer. */
  #again (lease: Lease, offers: number[]): void {
    for (const offer of offers) {
      const entry = lease.offers.get(offer)
      lease.offers.delete(offer)
      if (entry != null) this.#attachLater(entry.job, lease.worker, this.#world.random.between(20, 700))
    }
  }

  #openTask (lease: Lease, generation: Generation, order: SimOrder): void {
    const { worker } = lease
    const stream = this.#network.open(this, worker, generation)
    const task: TaskStream = {
      stream,
      order,
      settle: result => { this.#network.send(stream, 1, `${this.name} gets the end of task ${order.block}/${order.attempt} from ${worker.name}`, () => { this.taskSettled(worker, task, result) }) }
    }
    lease.tasks.set(taskName(generation, order), task)
    this.#network.send(stream, 0, `${worker.name} gets task ${order.block}/${order.attempt} of ${this.name}`, () => { worker.receiveTask(this.name, task) })
  }

  #resetTask (lease: Lease, generation: Generation, ref: AttemptRef): void {
    const task = lease.tasks.get(taskName(generation, ref))
    if (task == null) return
    const { worker } = lease
    this.#network.closeByRequester(task.stream, () => { if (worker.up) worker.taskReset(this.name, generation, ref) })
    this.#world.after(0.1, this.life, '', () => { this.taskSettled(worker, task, { ...ref, ok: false, reason: 'cancelled', message: 'cancelled', weight: 0, value: 'good', wallMs: 0 }) })
  }

  /** Cancelled work must stop at the worker soon, as long as the connection is undisturbed. */
  #oblige (lease: Lease, refs: AttemptRef[]): void {
    const { stream, worker } = lease
    if (stream == null || refs.length === 0) return
    const since = this.#world.now
    const workerLife = worker.life
    this.#world.after(CANCEL_LIMIT_MS, this.life, '', () => {
      if (workerLife.over || lease.stream !== stream || stream.disturbedAt >= since || !this.#network.streams.has(stream)) return
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
