/** Draws a network of nodes, their jobs and their misfortunes from a seed, and runs them. */
import type { JobRecord } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import { LOOP_BLOCK_MS_MAX, type Host } from './host.ts'
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
/** After the last job ended, everything must come to rest within this; how often that is looked at, and everything else that must hold at any time. */
const REST_MS_MAX = 60_000
const LOOK_MS = 500
/** From so many nodes on jobs are larger, and requesters more. */
const MANY_NODES = 30

/** By how much clocks are set, milliseconds: less than records are allowed to differ by, so that deadlines hold all the same. */
const CLOCK_STEP_MS_MAX = 60_000

export interface SimOptions {
  seed: number
  /** Nodes altogether; drawn from the seed if not given. */
  nodes?: number
  fault?: Fault
  /** Whose story to tell: JOB/BLOCK or JOB. */
  story?: string
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
  /** Second copies, suspicions, jobs that went on after a crash, blocks that were durable then, refusals for lack of room. */
  hedged: number
  suspicions: number
  resumed: number
  kept: number
  refused: number
  /** Orders answered with what was made before. */
  reused: number
  /** The story of the block that was asked for, or that the violation is about. */
  story?: string[]
}

export function simulate ({ seed, nodes, fault, story }: SimOptions): SimResult {
  const world = new World(seed)
  const scenario = new Scenario(world, nodes, fault == null ? new Set() : new Set([fault]))
  let violation: string | undefined
  let about = story
  try {
    scenario.run()
  } catch (error) {
    // Any other error is a fault of a machine all the same: nothing in a run may throw.
    if (error instanceof Violation && error.job != null) about ??= error.block == null ? error.job : `${error.job}/${error.block}`
    violation = error instanceof Violation ? error.message : error instanceof Error ? error.stack ?? error.message : String(error)
  }
  return {
    seed,
    violation,
    lastEvents: violation == null ? undefined : world.lastEvents,
    traceHash: world.traceHash,
    steps: world.steps,
    virtualMs: Math.round(world.now),
    story: about == null ? undefined : scenario.story(about),
    ...scenario.summary()
  }
}

class Scenario {
  readonly #world: World
  readonly #network: Network
  readonly #workers: WorkerNode[] = []
  readonly #requesters: RequesterNode[] = []
  readonly #byName = new Map<string, RequesterNode>()
  /** Many nodes and large jobs. */
  #large = false
  /** Every misfortune is over by then. */
  #troubleUntil = TROUBLE_UNTIL_MS
  readonly #plans: Array<{ requester: RequesterNode, plan: JobPlan }> = []

  constructor (world: World, nodes: number | undefined, faults: ReadonlySet<Fault>) {
    this.#world = world
    const { random } = world
    this.#network = new Network(world, {
      delayMs: random.between(0.2, 20),
      jitterMs: random.between(0, 30),
      spikes: random.pick([0, 0.01, 0.05]),
      spikeMs: random.between(50, 600),
      loss: random.pick([0, 0, 0.01, 0.05]),
      duplicates: random.pick([0, 0.01, 0.3]),
      duplicateMs: random.pick([50, 30_000]),
      bandwidth: random.pick([Infinity, Infinity, 100, 10])
    })
    const total = nodes ?? random.integer(3, 9)
    const requesters = Math.max(1, Math.min(total - 1, random.integer(1, 3) + Math.floor(total / MANY_NODES)))
    this.#large = total >= MANY_NODES
    const overloaded = random.chance(0.2)
    const stragglers = random.pick([0, 0, 0.02, 0.1])
    const liars = random.chance(0.4)
    const crashes = random.pick([0, 0, 0.01, 0.05])
    const hangs = random.pick([0, 0, 0.005, 0.02])
    for (let i = 0; i < total - requesters; i++) {
      const slots = random.integer(1, 4)
      const conduct: Conduct = {
        slots,
        engines: overloaded ? random.integer(1, slots) : 2 * slots,
        leasesMax: overloaded ? random.integer(1, 2) : 64,
        jobsMax: overloaded ? random.integer(1, 3) : 64,
        stragglers,
        beacons: random.chance(0.65),
        asked: this.#price(),
        speed: random.between(1, 20) * (random.chance(0.15) ? 0.1 : 1),
        lies: liars && random.chance(0.4) ? random.pick([0.1, 0.5, 1]) : 0,
        lie: random.pick(['garbage', 'subtle']),
        crashes: random.chance(0.05) ? 1 : crashes,
        hangs
      }
      this.#workers.push(new WorkerNode(`w${i}`, conduct, world, this.#network, faults, {
        host: name => (this.#byName.get(name) as RequesterNode).host,
        watch: (name, worker, stream) => this.#byName.get(name)?.watchOf(worker, stream)
      }))
    }
    for (let i = 0; i < requesters; i++) {
      const requester = new RequesterNode(`r${i}`, world, this.#network, this.#workers, { syncMs: random.pick([2, 8, 40]) }, faults)
      this.#requesters.push(requester)
      this.#byName.set(requester.name, requester)
      for (let j = random.integer(1, 3); j > 0; j--) this.#plans.push({ requester, plan: this.#jobPlan(`${requester.name}j${j}`) })
    }
    for (const worker of this.#workers) {
      worker.deliver = (name, stream, message, label) => {
        const requester = this.#byName.get(name) as RequesterNode
        this.#network.send(stream, 1, label, () => { requester.receive(worker, stream, message) })
      }
      worker.closed = (name, stream) => { (this.#byName.get(name) as RequesterNode).streamLost(worker, stream, 'closed by the worker') }
    }
  }

  run (): void {
    for (const { requester, plan } of this.#plans) this.#world.after(plan.startMs, undefined, `${requester.name} submits ${plan.id} (${plan.sizes.length} blocks, ${plan.verify})`, () => { requester.submit(plan) })
    this.#planTrouble()
    this.#look()
    this.#world.run(() => this.#allEnded(), JOBS_END_BY_MS)
    if (!this.#allEnded()) {
      const open = this.#plans.filter(({ requester, plan }) => !requester.results.has(plan.id))
      const told = open.map(({ requester, plan }) => `${plan.id} ${JSON.stringify(requester.jobs.get(plan.id)?.counts)}`)
      throw new Violation(`jobs that never ended: ${told.join(', ')}`, { job: open[0]?.plan.id })
    }
    const restBy = this.#world.now + REST_MS_MAX
    do this.#world.run(() => false, this.#world.now + LOOK_MS)
    while (!this.#resting() && this.#world.now < restBy)
    this.#checkRest()
  }

  /** What must hold at any time, whatever anybody says. */
  #look (): void {
    for (const requester of this.#requesters) {
      requester.checkSilence()
      requester.checkProgress()
      requester.checkBooks()
    }
    for (const worker of this.#workers) {
      worker.checkSilence()
      worker.checkKept()
    }
    this.#world.after(LOOK_MS, undefined, '', () => { this.#look() })
  }

  story (about: string): string[] | undefined {
    const [job = '', block] = about.split('/')
    for (const requester of this.#requesters) {
      const story = requester.histories.get(job)?.story
      if (story != null) return block == null ? story.whole() : story.of(Number(block))
    }
    return undefined
  }

  summary (): Pick<SimResult, 'jobs' | 'late' | 'rejected' | 'redispatched' | 'redone' | 'hedged' | 'suspicions' | 'resumed' | 'kept' | 'refused' | 'reused'> {
    const jobs: Record<string, number> = {}
    let [late, rejected, redispatched, redone, hedged, suspicions, resumed, kept, refused, reused] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    for (const worker of this.#workers) {
      refused += worker.refused
      reused += worker.reused
    }
    for (const requester of this.#requesters) {
      late += requester.late
      suspicions += requester.suspicions
      resumed += requester.resumed
      for (const history of requester.histories.values()) kept += history.kept
      for (const state of requester.results.values()) jobs[state] = (jobs[state] ?? 0) + 1
      for (const job of requester.jobs.values()) {
        rejected += job.counts.rejected
        redispatched += job.counts.redispatched
        redone += job.counts.redone
        hedged += job.watch.hedges
      }
    }
    return { jobs, late, rejected, redispatched, redone, hedged, suspicions, resumed, kept, refused, reused }
  }

  #jobPlan (id: string): JobPlan {
    const { random } = this.#world
    const blocks = this.#large ? random.pick([40, 100, 400]) : random.pick([0, 1, 3, 8, 20, 40])
    const large = random.next()
    return {
      id,
      // Blocks of the same number are of the same input, though not as large: nobody looks at that.
      input: random.chance(0.7) ? 'common' : id,
      sizes: Array.from({ length: blocks }, () => random.chance(large) ? random.integer(LARGE_BYTES + 1, 8000) : random.integer(1, LARGE_BYTES)),
      verify: random.pick(['none', 'sample', 'sample', 'all']),
      startMs: random.between(0, 2000),
      cancelMs: random.chance(0.1) ? random.between(50, 6000) : undefined,
      deadlineMs: random.chance(0.07) ? random.between(500, 10_000) : undefined,
      brokenMs: random.chance(0.03) ? random.between(50, 5000) : undefined,
      attemptMs: random.pick([8000, 8000, 1200, 700]),
      maxPrice: random.chance(0.3) ? random.pick(PRICE_LIMITS) : undefined,
      renameFails: random.chance(0.03),
      poison: blocks > 0 && random.chance(0.03) ? random.integer(0, blocks - 1) : undefined,
      splitMs: random.pick([4, 4, 100, 1000]),
      widens: random.chance(0.4) ? Array.from({ length: random.pick([1, 1, 2, 3, 5]) }, () => random.integer(0, blocks)).sort((a, b) => a - b) : []
    }
  }

  #planTrouble (): void {
    const { random } = this.#world
    const timing = [() => { this.#stallResults() }, () => { this.#overtake() }]
    const others = [
      () => { this.#breakConnection() }, () => { this.#partition() }, () => { this.#crashWorker() }, () => { this.#crashRequester() }, () => { this.#breakTask() },
      () => { this.#changeSlots() }, () => { this.#drainWorker() }, () => { this.#blockLoop() }, () => { this.#hangLoop() }, () => { this.#suspend() }, () => { this.#stepClock() },
      () => { this.#flap() }, () => { this.#degrade() }, () => { this.#blockDatagrams() }, () => { this.#fillDisk() }, () => { this.#slowDisk() }, () => { this.#slowWorker() }
    ]
    const kinds = random.chance(0.25) ? timing : [...timing, ...others].filter(() => random.chance(0.5))
    for (let i = kinds.length === 0 ? 0 : random.integer(0, 20); i > 0; i--) {
      this.#world.after(random.between(TROUBLE_FROM_MS, TROUBLE_UNTIL_MS), undefined, '', random.pick(kinds))
    }
    // Prices move in the best of times.
    for (let i = random.pick([0, 0, 5, 30]); i > 0; i--) this.#world.after(random.between(TROUBLE_FROM_MS, TROUBLE_UNTIL_MS / 2), undefined, '', () => { this.#changePrice() })
    // Some nodes are busy all the time: their loops stand still again and again.
    if (random.chance(0.2)) for (let at = TROUBLE_FROM_MS; at < TROUBLE_UNTIL_MS; at += random.between(3000, 6000)) this.#world.after(at, undefined, '', () => { this.#blockLoop() })
    this.#world.after(TROUBLE_UNTIL_MS, undefined, 'the trouble is over', () => { this.#network.heal() })
  }

  /** Every stream between two nodes is reset; each learns of it in its own time. */
  #sever (requester: RequesterNode, worker: WorkerNode): void {
    const { random } = this.#world
    this.#world.note(`the connection of ${requester.name} and ${worker.name} breaks`)
    for (const stream of this.#network.streams) {
      if (stream.requester.name !== requester.name || stream.worker.name !== worker.name) continue
      const [requesterLife, workerLife] = [requester.host.life, worker.host.life]
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

  /** A requester and a worker, in either order. */
  #pair (): [string, string] {
    const { random } = this.#world
    const [requester, worker] = [random.pick(this.#requesters).name, random.pick(this.#workers).name]
    return random.chance(0.5) ? [requester, worker] : [worker, requester]
  }

  #host (): Host {
    const { random } = this.#world
    return random.pick<RequesterNode | WorkerNode>(random.chance(0.4) ? this.#requesters : this.#workers).host
  }

  #partition (): void {
    const { random } = this.#world
    const [from, to] = this.#pair()
    const both = random.chance(0.5)
    const forMs = random.between(200, 9000)
    this.#world.note(`${from} and ${to} are parted${both ? '' : ' one way'} for ${Math.round(forMs)} ms`)
    this.#network.block(from, to, forMs)
    if (both) this.#network.block(to, from, forMs)
  }

  /** A link that comes and goes. */
  #flap (): void {
    const { random } = this.#world
    const [from, to] = this.#pair()
    this.#world.note(`the link from ${from} to ${to} flaps`)
    for (let at = 0, i = random.integer(2, 8); i > 0; i--) {
      const downMs = random.between(50, 1500)
      this.#world.after(at, undefined, '', () => { this.#network.block(from, to, downMs) })
      at += downMs + random.between(50, 1500)
    }
  }

  #degrade (): void {
    const { random } = this.#world
    const [from, to] = this.#pair()
    const loss = random.between(0.1, 0.6)
    this.#world.note(`the link from ${from} to ${to} loses ${Math.round(100 * loss)} %`)
    this.#network.degrade(from, to, loss, random.between(500, 5000))
  }

  /** Some firewall forgets about UDP. */
  #blockDatagrams (): void {
    const { random } = this.#world
    const [from, to] = this.#pair()
    this.#world.note(`no datagrams from ${from} to ${to}`)
    this.#network.link(from, to).datagramsBlockedUntil = this.#world.now + random.between(500, 20_000)
  }

  #blockLoop (): void {
    const { random } = this.#world
    const host = this.#host()
    const forMs = random.between(100, LOOP_BLOCK_MS_MAX)
    this.#world.note(`the loop of ${host.name} stands still for ${Math.round(forMs)} ms`)
    if (random.chance(0.5)) host.blockLoop(forMs)
    else host.stutter(Array.from({ length: random.integer(2, 3) }, () => random.between(forMs, LOOP_BLOCK_MS_MAX)))
  }

  #hangLoop (): void {
    const { random } = this.#world
    if (!random.chance(0.3)) return
    const worker = random.pick(this.#workers)
    const forMs = random.between(4000, 90_000)
    this.#world.note(`the loop of ${worker.name} hangs for ${Math.round(forMs)} ms`)
    worker.host.blockLoop(forMs)
    this.#troubleUntil = Math.max(this.#troubleUntil, this.#world.now + forMs)
  }

  #suspend (): void {
    const { random } = this.#world
    const forMs = random.between(300, 9000)
    const sleeps = random.chance(0.5)
    const worker = random.chance(0.7) ? random.pick(this.#workers) : undefined
    const host = worker?.host ?? random.pick(this.#requesters).host
    if (!host.up) return
    this.#world.note(`${host.name} ${sleeps ? 'sleeps' : 'is stopped'} for ${Math.round(forMs)} ms`)
    if (worker != null) worker.suspend(forMs, sleeps)
    else host.suspend(forMs, sleeps)
    this.#troubleUntil = Math.max(this.#troubleUntil, this.#world.now + forMs)
  }

  #stepClock (): void {
    const { random } = this.#world
    const host = this.#host()
    const byMs = random.between(-CLOCK_STEP_MS_MAX, CLOCK_STEP_MS_MAX)
    this.#world.note(`the clock of ${host.name} is set by ${Math.round(byMs)} ms`)
    host.stepClock(byMs)
  }

  #fillDisk (): void {
    const { random } = this.#world
    if (!random.chance(0.4)) return
    const { disk, name } = random.pick(this.#requesters)
    this.#world.note(`the disk of ${name} is full`)
    disk.failsUntil = this.#world.now + random.between(50, 3000)
  }

  #slowDisk (): void {
    const { random } = this.#world
    const { disk, name } = random.pick(this.#requesters)
    this.#world.note(`the disk of ${name} is slow`)
    disk.slowness = random.between(10, 100)
    disk.slowUntil = this.#world.now + random.between(500, 3000)
  }

  #slowWorker (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    this.#world.note(`${worker.name} is slow`)
    worker.slowUntil = this.#world.now + random.between(1000, 10_000)
  }

  #crashWorker (): void {
    const { random } = this.#world
    const worker = random.pick(this.#workers)
    if (!worker.up) return
    this.#world.note(`${worker.name} crashes`)
    worker.crash()
    // Sometimes the machine is gone without a word, and only silence tells; and sometimes there is no silence.
    if (random.chance(0.6)) for (const requester of this.#requesters) this.#sever(requester, worker)
    else if (random.chance(0.3)) for (const requester of this.#requesters) this.#network.replay(worker.name, requester.host, random.between(2000, 15_000))
    this.#world.after(random.between(100, 4000), undefined, `${worker.name} is back`, () => { worker.restart() })
  }

  #crashRequester (): void {
    const { random } = this.#world
    const requester = random.pick(this.#requesters)
    if (!requester.up) return
    this.#world.note(`${requester.name} crashes`)
    requester.crash()
    if (random.chance(0.6)) for (const worker of this.#workers) this.#sever(requester, worker)
    if (random.chance(0.3)) {
      const flipped = requester.disk.flipOne()
      if (flipped != null) this.#world.note(`a bit of ${flipped} is flipped`)
    }
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
      this.#world.after(forMs * random.between(0.1, 0.7), requester.host.life, `${requester.name} drops its lease of ${worker}`, () => { requester.dropLease(worker, stream) })
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
    if (random.chance(0.5)) this.#world.after(random.between(100, 2000), worker.host.life, `the drain of ${worker.name} is over`, () => { worker.handBack() })
    if (random.chance(0.5)) {
      this.#world.after(random.between(100, random.pick([1000, 4000, 20_000])), worker.host.life, `${worker.name} takes work again`, () => { worker.resume() })
      return
    }
    this.#world.after(random.between(1000, 4000), worker.host.life, `${worker.name} restarts`, () => {
      worker.crash()
      for (const requester of this.#requesters) this.#sever(requester, worker)
      worker.restart()
    })
  }

  #allEnded (): boolean {
    return this.#world.now >= this.#troubleUntil && this.#plans.every(({ requester, plan }) => requester.results.has(plan.id))
  }

  #resting (): boolean {
    if ([...this.#workers, ...this.#requesters].some(({ host }) => host.life.idleUntil > this.#world.now)) return false
    return this.#workers.every(({ active }) => active === 0) && this.#requesters.every(requester => requester.outstanding() === 0 && requester.disk.idle)
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
        const kept = (requester.disk.journal.get(`job/${plan.id}`) as JobRecord | undefined)?.phase !== 'ended' || requester.disk.failsUntil > 0
        if (kept) continue
        for (const key of requester.disk.journal.keys()) if (key.startsWith(`${plan.id}/`)) throw new Violation(`${plan.id} (${state}) left the entry ${key}`, { job: plan.id })
        for (const key of requester.disk.blocks.keys()) if (key.startsWith(`${plan.id}/`)) throw new Violation(`${plan.id} (${state}) left the block ${key}`, { job: plan.id })
        if (partial != null) throw new Violation(`${plan.id} (${state}) left a partial output`)
        if ((state === 'done') !== (final != null)) throw new Violation(`${plan.id} is ${state}, its output is ${final == null ? 'absent' : 'there'}`)
      }
    }
  }
}
