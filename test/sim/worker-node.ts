/** A worker: the production lease machine, one per requester, over an engine that takes time and may lie, crash or hang. */
import { compareGenerations, type AttemptRef, type Generation } from '../../daemon/task-protocol/lease-model.ts'
import { createLeaseWorker } from '../../daemon/task-protocol/lease-worker.ts'
import type { LeaseWorker, WorkerEffect, WorkerEvent } from '../../daemon/task-protocol/lease-worker-events.ts'
import { BEAT_MS, SILENCE_MS, type Conduct, type Fault, type SimOffer, type SimOrder, type SimResult, type ToRequester, type ToWorker } from './model.ts'
import type { Network, Stream } from './network.ts'
import { Violation, type Life, type World } from './world.ts'

/** A task stream as both ends see it. */
export interface TaskStream {
  stream: Stream
  order: SimOrder
  settle: (result: SimResult) => void
}

interface Lease {
  machine: LeaseWorker<SimOrder, SimResult, SimOffer>
  streams: Map<string, Stream>
  tasks: Map<string, TaskStream>
  /** The newest generation that was granted. */
  newest: Generation | undefined
}

/** An attempt in the engine. */
interface Running { life: Life, requester: string, generation: Generation, ref: AttemptRef, since: number }

export const nameOf = ({ incarnation, counter }: Generation): string => `${incarnation}.${counter}`
const attemptName = (generation: Generation, { offer, block, attempt }: AttemptRef): string => `${nameOf(generation)}/${offer}/${block}/${attempt}`

export class WorkerNode {
  readonly name: string
  readonly conduct: Conduct
  life: Life = { over: false }
  readonly #world: World
  readonly #network: Network
  readonly #faults: ReadonlySet<Fault>
  /** Most orders it ever took from one requester at a time. */
  #slotsMax: number
  #leases = new Map<string, Lease>()
  #running = new Map<string, Running>()
  /** Told of what comes back to a requester. */
  deliver: (requester: string, stream: Stream, message: ToRequester, label: string) => void = () => {}
  closed: (requester: string, stream: Stream) => void = () => {}

  constructor (name: string, conduct: Conduct, world: World, network: Network, faults: ReadonlySet<Fault>) {
    this.name = name
    this.conduct = conduct
    this.#slotsMax = conduct.slots
    this.#world = world
    this.#network = network
    this.#faults = faults
  }

  get up (): boolean { return !this.life.over }

  crash (): void {
    this.life.over = true
    this.#leases = new Map()
    this.#running = new Map()
  }

  restart (): void {
    this.life = { over: false }
  }

  drain (): void {
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'drain' })
  }

  setSlots (slots: number): void {
    this.#slotsMax = Math.max(this.#slotsMax, slots)
    for (const [requester, lease] of this.#leases) this.#step(requester, lease, { type: 'slots', slots: { process: slots, inline: slots } })
  }

  /** Attempts in the engine of one requester, by generation and attempt. */
  isRunning (requester: string, generation: Generation, ref: AttemptRef): boolean {
    return this.#running.has(`${requester}/${attemptName(generation, ref)}`)
  }

  get active (): number { return this.#running.size }

  receive (requester: string, stream: Stream, message: ToWorker): void {
    const lease = this.#lease(requester)
    const { generation } = stream
    if (message.type === 'request') {
      lease.streams.set(nameOf(generation), stream)
      this.#watch(requester, lease, stream)
    }
    this.#obey(requester, lease, generation, { type: 'message', generation, message })
  }

  receiveTask (requester: string, task: TaskStream): void {
    const lease = this.#lease(requester)
    const { generation } = task.stream
    lease.tasks.set(attemptName(generation, task.order), task)
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
    if (lease == null || !lease.streams.delete(nameOf(generation))) return
    this.#step(requester, lease, { type: 'lost', generation })
  }

  #lease (requester: string): Lease {
    let lease = this.#leases.get(requester)
    if (lease == null) {
      const slots = { process: this.conduct.slots, inline: this.conduct.slots }
      const machine = createLeaseWorker<SimOrder, SimResult, SimOffer>({
        slots,
        faults: this.#faults as ReadonlySet<never>,
        refusal: (order, { reason, message }) => ({ offer: order.offer, block: order.block, attempt: order.attempt, ok: false, reason, message, weight: 10, value: 'good', wallMs: 0 })
      })
      lease = { machine, streams: new Map(), tasks: new Map(), newest: undefined }
      this.#leases.set(requester, lease)
    }
    return lease
  }

  /** Gives the requester up after silence; a beat passes when both directions of the network do. */
  #watch (requester: string, lease: Lease, stream: Stream): void {
    let heardAt = this.#world.now
    const look = (): void => {
      if (lease.streams.get(nameOf(stream.generation)) !== stream) return
      if (this.#network.hears(stream, 0)) heardAt = this.#world.now
      if (this.#world.now - heardAt > SILENCE_MS) {
        this.#world.note(`${this.name} gives up ${requester} (${nameOf(stream.generation)})`)
        this.#network.closeByWorker(stream, () => { this.closed(requester, stream) })
        this.streamLost(requester, stream.generation)
        return
      }
      this.#world.after(BEAT_MS, this.life, '', look)
    }
    this.#world.after(BEAT_MS, this.life, '', look)
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
    const effects = lease.machine.step(event, this.#world.now)
    for (const effect of effects) this.#act(requester, lease, effect)
    const { active } = lease.machine.inspect()
    if (active.length > this.#slotsMax) throw new Violation(`${this.name} holds ${active.length} orders of ${requester} and never took more than ${this.#slotsMax}`)
    return effects
  }

  #act (requester: string, lease: Lease, effect: WorkerEffect<SimOrder, SimResult, SimOffer>): void {
    switch (effect.type) {
      case 'send': {
        const stream = lease.streams.get(nameOf(effect.generation))
        if (stream != null) this.deliver(requester, stream, effect.message, `${requester} gets ${effect.message.type} from ${this.name} (${nameOf(effect.generation)})`)
        break
      }
      case 'start': for (const order of effect.orders) this.#run(requester, lease, effect.generation, order); break
      case 'refuse-task': {
        const { order, reason, message } = effect
        const task = [...lease.tasks.values()].find(({ order: known }) => known === order)
        if (task == null) break
        lease.tasks.delete(attemptName(task.stream.generation, order))
        task.settle({ offer: order.offer, block: order.block, attempt: order.attempt, ok: false, reason, message, weight: 0, value: 'good', wallMs: 0 })
        break
      }
      case 'abort': {
        const { generation, attempt, task } = effect
        this.#stop(requester, generation, attempt)
        // The engine is killed and says so; for a task stream the reset already ended it.
        this.#world.after(1, this.life, '', () => { this.#finish(requester, lease, generation, { ...attempt, ok: false, reason: 'cancelled', message: 'cancelled', weight: 10, value: 'good', wallMs: 0 }, task) })
        break
      }
      case 'close': {
        const stream = lease.streams.get(nameOf(effect.generation))
        if (stream == null) break
        lease.streams.delete(nameOf(effect.generation))
        this.#network.closeByWorker(stream, () => { this.closed(requester, stream) })
        break
      }
      case 'violation': throw new Violation(`${this.name} calls ${requester} in breach: ${effect.message}`)
      case 'stale':
      case 'drained': break
    }
  }

  #run (requester: string, lease: Lease, generation: Generation, order: SimOrder): void {
    const { random } = this.#world
    const key = `${requester}/${attemptName(generation, order)}`
    if (this.#running.has(key)) throw new Violation(`${this.name} started ${key} twice`)
    const life: Life = { over: false }
    this.#running.set(key, { life, requester, generation, ref: order, since: this.#world.now })
    if (random.chance(this.conduct.hangs)) return
    const task = lease.tasks.has(attemptName(generation, order))
    const wallMs = order.size / this.conduct.speed * random.between(0.7, 1.3)
    const crashed = random.chance(this.conduct.crashes)
    const value = random.chance(this.conduct.lies) ? this.conduct.lie : 'good'
    const mine = this.life
    this.#world.after(wallMs, life, '', () => {
      if (mine.over) return
      this.#running.delete(key)
      const { offer, block, attempt } = order
      const base = { offer, block, attempt, weight: 50, wallMs }
      this.#finish(requester, lease, generation, crashed ? { ...base, ok: false, reason: 'crash', message: 'the engine crashed', value: 'good' } : { ...base, ok: true, value }, task)
    })
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
    const running = this.#running.get(key)
    if (running == null) return
    running.life.over = true
    this.#running.delete(key)
  }
}
