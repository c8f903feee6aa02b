/** Draws a network of nodes, their jobs and their misfortunes from a seed, and runs them. */
import { Disk } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import { LARGE_BYTES, PRICE_LIMITS, PRICES, UNIT, type Conduct, type Fault } from './model.ts'
import { Network } from './network.ts'
import { RequesterNode } from './requester-node.ts'
import type { JobPlan } from './sim-job.ts'
import { WorkerNode } from './worker-node.ts'
import { Violation, World } from './world.ts'

/** Misfortunes begin and end; by the limit every job must have ended. Virtual milliseconds. */
const TROUBLE_FROM_MS = 200
const TROUBLE_UNTIL_MS = 12_000
const JOBS_END_BY_MS = 900_000
/** After the last job ended, everything must come to rest within this. */
const REST_MS = 6000

export interface SimOptions {
  seed: number
  /** Nodes altogether; drawn from the seed if not given. */
  nodes?: number
  fault?: Fault
}

export interface SimResult {
  seed: number
  violation?: string
  lastEvents?: string[]
  traceHash: string
  steps: number
  virtualMs: number
  jobs: Record<string, number>
  late: number
  rejected: number
  redispatched: number
  redone: number
}

export function simulate ({ seed, nodes, fault }: SimOptions): SimResult {
  const world = new World(seed)
  const scenario = new Scenario(world, nodes, fault == null ? new Set() : new Set([fault]))
  let violation: string | undefined
  try {
    scenario.run()
  } catch (error) {
    // Any other error is a fault of a machine all the same: nothing in a run may throw.
    violation = error instanceof Violation ? error.message : error instanceof Error ? error.stack ?? error.message : String(error)
  }
  return {
    seed,
    violation,
    lastEvents: violation == null ? undefined : world.lastEvents,
    traceHash: world.traceHash,
    steps: world.steps,
    virtualMs: Math.round(world.now),
    ...scenario.summary()
  }
}

class Scenario {
  readonly #world: World
  readonly #network: Network
  readonly #workers: WorkerNode[] = []
  readonly #requesters: RequesterNode[] = []
  readonly #plans: Array<{ requester: RequesterNode, plan: JobPlan }> = []

  constructor (world: World, nodes: number | undefined, faults: ReadonlySet<Fault>) {
    this.#world = world
    const { random } = world
    this.#network = new Network(world, { delayMs: random.between(0.2, 20), jitterMs: random.between(0, 30), spikes: random.pick([0, 0.01, 0.05]), spikeMs: random.between(50, 600) })
    const total = nodes ?? random.integer(3, 9)
    const requesters = Math.max(1, Math.min(total - 1, random.integer(1, 3)))
    const liars = random.chance(0.4)
    const crashes = random.pick([0, 0, 0.01, 0.05])
    const hangs = random.pick([0, 0, 0.005, 0.02])
    for (let i = 0; i < total - requesters; i++) {
      const conduct: Conduct = {
        slots: random.integer(1, 4),
        asked: this.#price(),
        speed: random.between(1, 20) * (random.chance(0.15) ? 0.1 : 1),
        lies: liars && random.chance(0.4) ? random.pick([0.1, 0.5, 1]) : 0,
        lie: random.pick(['garbage', 'subtle']),
        crashes,
        hangs
      }
      this.#workers.push(new WorkerNode(`w${i}`, conduct, world, this.#network, faults))
    }
    for (let i = 0; i < requesters; i++) {
      const requester = new RequesterNode(`r${i}`, world, this.#network, this.#workers, new Disk(world, { syncMs: random.pick([2, 8, 40]) }), faults)
      this.#requesters.push(requester)
      for (let j = random.integer(1, 3); j > 0; j--) this.#plans.push({ requester, plan: this.#jobPlan(`${requester.name}j${j}`) })
    }
    for (const worker of this.#workers) {
      worker.deliver = (name, stream, message, label) => {
        const requester = this.#requesters.find(node => node.name === name) as RequesterNode
        this.#network.send(stream, 1, label, () => { requester.receive(worker, stream, message) })
      }
      worker.closed = (name, stream) => { (this.#requesters.find(node => node.name === name) as RequesterNode).streamLost(worker, stream, 'closed by the worker') }
    }
  }

  run (): void {
    for (const { requester, plan } of this.#plans) this.#world.after(plan.startMs, undefined, `${requester.name} submits ${plan.id} (${plan.sizes.length} blocks, ${plan.verify})`, () => { requester.submit(plan) })
    this.#planTrouble()
    this.#world.run(() => this.#allEnded(), JOBS_END_BY_MS)
    if (!this.#allEnded()) {
      const open = this.#plans.filter(({ requester, plan }) => !requester.results.has(plan.id)).map(({ requester, plan }) => `${plan.id} ${JSON.stringify(requester.jobs.get(plan.id)?.counts)}`)
      throw new Violation(`jobs that never ended: ${open.join(', ')}`)
    }
    this.#world.run(() => false, this.#world.now + REST_MS)
    this.#checkRest()
  }

  summary (): Pick<SimResult, 'jobs' | 'late' | 'rejected' | 'redispatched' | 'redone'> {
    const jobs: Record<string, number> = {}
    let [late, rejected, redispatched, redone] = [0, 0, 0, 0]
    for (const requester of this.#requesters) {
      late += requester.late
      for (const state of requester.results.values()) jobs[state] = (jobs[state] ?? 0) + 1
      for (const job of requester.jobs.values()) {
        rejected += job.counts.rejected
        redispatched += job.counts.redispatched
        redone += job.counts.redone
      }
    }
    return { jobs, late, rejected, redispatched, redone }
  }

  #jobPlan (id: string): JobPlan {
    const { random } = this.#world
    const blocks = random.pick([0, 1, 3, 8, 20, 40])
    const large = random.next()
    return {
      id,
      sizes: Array.from({ length: blocks }, () => random.chance(large) ? random.integer(LARGE_BYTES + 1, 8000) : random.integer(1, LARGE_BYTES)),
      verify: random.pick(['none', 'sample', 'sample', 'all']),
      startMs: random.between(0, 2000),
      cancelMs: random.chance(0.1) ? random.between(50, 6000) : undefined,
      deadlineMs: random.chance(0.07) ? random.between(500, 10_000) : undefined,
      brokenMs: random.chance(0.03) ? random.between(50, 5000) : undefined,
      attemptMs: random.pick([8000, 8000, 1200, 700]),
      maxPrice: random.chance(0.3) ? random.pick(PRICE_LIMITS) : undefined,
      renameFails: random.chance(0.03),
      splitMs: random.pick([4, 4, 100, 1000]),
      widens: random.chance(0.4) ? Array.from({ length: random.pick([1, 1, 2, 3, 5]) }, () => random.integer(0, blocks)).sort((a, b) => a - b) : []
    }
  }

  #planTrouble (): void {
    const { random } = this.#world
    const timing = [() => { this.#stallResults() }, () => { this.#overtake() }]
    const others = [() => { this.#breakConnection() }, () => { this.#partition() }, () => { this.#crashWorker() }, () => { this.#crashRequester() }, () => { this.#breakTask() }, () => { this.#changeSlots() }, () => { this.#drainWorker() }]
    const kinds = random.chance(0.25) ? timing : [...timing, ...others].filter(() => random.chance(0.5))
    for (let i = kinds.length === 0 ? 0 : random.integer(0, 20); i > 0; i--) {
      this.#world.after(random.between(TROUBLE_FROM_MS, TROUBLE_UNTIL_MS), undefined, '', random.pick(kinds))
    }
    // Prices move in the best of times.
    for (let i = random.pick([0, 0, 5, 30]); i > 0; i--) this.#world.after(random.between(TROUBLE_FROM_MS, TROUBLE_UNTIL_MS / 2), undefined, '', () => { this.#changePrice() })
    this.#world.after(TROUBLE_UNTIL_MS, undefined, 'the trouble is over', () => { this.#network.heal() })
  }

  /** Every stream between two nodes is reset; each learns of it in its own time. */
  #sever (requester: RequesterNode, worker: WorkerNode): void {
    const { random } = this.#world
    this.#world.note(`the connection of ${requester.name} and ${worker.name} breaks`)
    for (const stream of this.#network.streams) {
      if (stream.requester.name !== requester.name || stream.worker.name !== worker.name) continue
      const [requesterLife, workerLife] = [requester.life, worker.life]
      this.#network.cut(stream)
      this.#world.after(random.between(0, 100), requesterLife, '', () => { requester.streamLost(worker, stream, 'the connection broke') })
      this.#world.after(random.between(0, 100), workerLife, '', () => { worker.streamLost(requester.name, stream.generation) })
    }
  }

  #breakConnection (): void {
    const { random } = this.#world
    this.#sever(random.pick(this.#requesters), random.pick(this.#workers))
  }

  /** One task stream is reset; the lease lives on. */
  #breakTask (): void {
    const requester = this.#world.random.pick(this.#requesters)
    const open = requester.tasks()
    if (open.length === 0) return
    const { worker, task } = this.#world.random.pick(open)
    const { stream, order: { offer, block, attempt } } = task
    this.#world.note(`task ${block}/${attempt} between ${requester.name} and ${worker.name} is reset`)
    this.#network.cut(stream)
    if (worker.up) worker.taskReset(requester.name, stream.generation, { offer, block, attempt })
    requester.taskSettled(worker, task, { offer, block, attempt, ok: false, reason: 'transfer', message: 'the stream was reset', weight: 0, value: 'good', wallMs: 0 })
  }

  #partition (): void {
    const { random } = this.#world
    const [requester, worker] = [random.pick(this.#requesters), random.pick(this.#workers)]
    const both = random.chance(0.5)
    this.#world.note(`${requester.name} and ${worker.name} are parted${both ? '' : ' one way'}`)
    if (both || random.chance(0.5)) this.#network.block(requester.name, worker.name)
    if (both || this.#network.reaches(requester.name, worker.name)) this.#network.block(worker.name, requester.name)
    this.#world.after(random.between(200, 5000), undefined, 'partitions heal', () => { this.#network.heal() })
  }

  #crashWorker (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    if (!worker.up) return
    this.#world.note(`${worker.name} crashes`)
    worker.crash()
    // Sometimes the machine is gone without a word, and only silence tells.
    if (random.chance(0.6)) for (const requester of this.#requesters) this.#sever(requester, worker)
    this.#world.after(random.between(100, 4000), undefined, `${worker.name} is back`, () => { worker.restart() })
  }

  #crashRequester (): void {
    const { random } = this.#world
    const requester = random.pick(this.#requesters)
    if (!requester.up) return
    this.#world.note(`${requester.name} crashes`)
    requester.crash()
    if (random.chance(0.6)) for (const worker of this.#workers) this.#sever(requester, worker)
    this.#world.after(random.between(100, 4000), undefined, `${requester.name} is back`, () => { requester.restart() })
  }

  /** Results stand still until the requester gives up, and arrive after all. */
  #stallResults (): void {
    const { random } = this.#world
    const requester = random.pick(this.#requesters)
    const worker = random.pick(this.#workers)
    this.#world.note(`nothing gets from ${worker.name} to ${requester.name} for a while`)
    const forMs = random.between(400, 4500)
    for (const stream of this.#network.streams) {
      if (stream.requester.name === requester.name && stream.worker.name === worker.name) this.#network.stall(stream, 1, forMs * random.between(0.9, 1.1))
    }
  }

  /** What a requester sent on its old streams is overtaken by its next lease. */
  #overtake (): void {
    const { random } = this.#world
    const requester = random.pick(this.#requesters)
    for (const { worker, stream } of requester.leases()) {
      const forMs = random.between(300, 1400)
      this.#world.note(`what ${requester.name} sends to ${worker} stands still`)
      for (const other of this.#network.streams) {
        if (other.requester.name === requester.name && other.worker.name === worker) this.#network.stall(other, 0, forMs * random.between(0.8, 1.2))
      }
      this.#world.after(forMs * random.between(0.1, 0.7), requester.life, `${requester.name} drops its lease of ${worker}`, () => { requester.dropLease(worker, stream) })
    }
  }

  #changeSlots (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    if (!worker.up) return
    const slots = random.integer(1, 4)
    this.#world.note(`${worker.name} takes ${slots}`)
    worker.setSlots(slots)
  }

  #price (): Asked {
    const { random } = this.#world
    return { price: random.pick(PRICES), unit: random.chance(0.05) ? 'other' : UNIT }
  }

  /** Each requester hears of it in its own time; one that is down has heard of it when it is back. */
  #changePrice (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    const asked = this.#price()
    this.#world.note(`${worker.name} asks ${asked.price} ${asked.unit}`)
    for (const requester of this.#requesters) this.#world.after(random.between(0, 1500), undefined, `${requester.name} hears of the price of ${worker.name}`, () => { requester.hears(worker.name, asked) })
  }

  #drainWorker (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    if (!worker.up) return
    this.#world.note(`${worker.name} drains`)
    worker.drain()
    this.#world.after(random.between(1000, 4000), worker.life, `${worker.name} restarts`, () => {
      worker.crash()
      for (const requester of this.#requesters) this.#sever(requester, worker)
      worker.restart()
    })
  }

  #allEnded (): boolean {
    return this.#world.now >= TROUBLE_UNTIL_MS && this.#plans.every(({ requester, plan }) => requester.results.has(plan.id))
  }

  /** Nothing of ended jobs is left anywhere. */
  #checkRest (): void {
    for (const worker of this.#workers) if (worker.active > 0) throw new Violation(`${worker.name} still has ${worker.active} attempts after all jobs ended`)
    for (const requester of this.#requesters) {
      if (requester.outstanding() > 0) throw new Violation(`${requester.name} still counts ${requester.outstanding()} orders after all jobs ended`)
      for (const { requester: owner, plan } of this.#plans) {
        if (owner !== requester) continue
        const { partial, final } = requester.disk.output(plan.id)
        const state = requester.results.get(plan.id)
        if (partial != null) throw new Violation(`${plan.id} (${state}) left a partial output`)
        if ((state === 'done') !== (final != null)) throw new Violation(`${plan.id} is ${state}, its output is ${final == null ? 'absent' : 'there'}`)
      }
    }
  }
}
