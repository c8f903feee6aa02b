/** The worker's side: serves leases and task streams of every requester with one executor. */
import type { Connection, Stream } from '@libp2p/interface'
import { hostOf } from '../health/index.ts'
import { BatchSigner } from '../trust/index.ts'
import {
  DISK_LOOK_MS, DRAIN_DELIVER_MS, DRAINING_RETRY_MS, INLINE_SLOTS, LEASE_PROTOCOL, LEASE_STREAMS_MAX, LEASES_MAX, PAUSE_HAND_BACK_MS, PREFETCH_SLOTS, PROTOCOL_VERSION,
  REQUESTERS_MAX, TASK_PROTOCOL, TASK_STREAMS_MAX
} from './constants.ts'
import type { TaskServer, WorkerAvailability, WorkerLoad } from './index.ts'
import type { Refusal, Slots } from './lease-model.ts'
import { LeaseServer } from './lease-server.ts'
import { Redelivery } from './redelivery.ts'
import type { ServedConverters, TaskServerComponents, TaskServerInit } from './server-types.ts'
import { serveTask } from './task-server.ts'
import { DiskBudget, diskNeed, QueueTime, queueRefusal } from './worker-load.ts'

export function createTaskServer (components: TaskServerComponents, init: TaskServerInit = {}): TaskServer {
  return new ExecutingTaskServer(components, init)
}

class ExecutingTaskServer implements TaskServer {
  private readonly components: TaskServerComponents
  private readonly init: TaskServerInit
  private readonly signer: BatchSigner
  /** By peer, least recently used first; kept after a lease ended because it remembers the newest generation. */
  private readonly requesters = new Map<string, LeaseServer>()
  private readonly tasks = new Set<Promise<void>>()
  private converters: ServedConverters = { find: () => undefined }
  private draining = false
  /** undefined: everything there is. */
  private available: WorkerAvailability | undefined
  /** Runs while engines are stopped. */
  private handBack: NodeJS.Timeout | undefined
  private redelivery: Redelivery
  private readonly queueTime = new QueueTime()
  private readonly disk = new DiskBudget()
  private free = { bytes: 0, at: -Infinity }
  private stopping = new AbortController()

  constructor (components: TaskServerComponents, init: TaskServerInit) {
    this.components = components
    this.init = init
    this.signer = new BatchSigner(components.identity.nodeKey)
    this.redelivery = new Redelivery(components, init)
  }

  private get protocols (): { lease: string, task: string } {
    const { network } = this.components
    return { lease: network.protocol(LEASE_PROTOCOL, PROTOCOL_VERSION), task: network.protocol(TASK_PROTOCOL, PROTOCOL_VERSION) }
  }

  async start (): Promise<void> {
    const { lease, task } = this.protocols
    this.converters = this.components.converters ?? await ownConverters()
    this.draining = false
    this.redelivery = new Redelivery(this.components, this.init)
    this.stopping = new AbortController()
    const { libp2p } = this.components.network
    await libp2p.handle(lease, (stream, connection) => { this.onLease(stream, connection) }, { maxInboundStreams: LEASE_STREAMS_MAX, maxOutboundStreams: LEASE_STREAMS_MAX })
    await libp2p.handle(task, (stream, connection) => { this.onTask(stream, connection) }, { maxInboundStreams: TASK_STREAMS_MAX, maxOutboundStreams: TASK_STREAMS_MAX })
  }

  async stop (): Promise<void> {
    const { lease, task } = this.protocols
    await this.components.network.libp2p.unhandle([lease, task])
    clearTimeout(this.handBack)
    // nobody comes back to a node that stops
    await this.redelivery.close()
    await Promise.all([...this.requesters.values()].map(requester => requester.stop()))
    this.stopping.abort(new Error('the task server is stopping'))
    await Promise.allSettled(this.tasks)
    this.requesters.clear()
  }

  async drain ({ signal, deadlineMs }: { signal: AbortSignal, deadlineMs?: number }): Promise<void> {
    this.draining = true
    this.redelivery.dropOrphans()
    signal.throwIfAborted()
    let timer = deadlineMs == null
      ? undefined
      : setTimeout(() => {
        this.handBackAll('this node stops working for others')
        // one that takes nothing, and acknowledges nothing, would hold up the drain for ever
        timer = setTimeout(() => { for (const requester of this.requesters.values()) requester.endLeases() }, this.init.drainDeliverMs ?? DRAIN_DELIVER_MS)
      }, deadlineMs)
    const { promise: given, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => { reject(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([Promise.all([...this.requesters.values()].map(requester => requester.drain())), given])
      // a slot is free before the last bytes of its task stream have arrived
      await Promise.race([Promise.allSettled(this.tasks), given])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }

  resume (): void {
    if (!this.draining) return
    this.draining = false
    for (const requester of this.requesters.values()) requester.resume()
  }

  setAvailability (available: WorkerAvailability): void {
    this.available = { ...available }
    const { slots } = this
    for (const requester of this.requesters.values()) requester.setSlots(slots, available.reason)
    clearTimeout(this.handBack)
    if (available.paused) this.handBack = setTimeout(() => { this.handBackAll(`this node takes no new work: ${available.reason ?? 'paused'}`) }, this.init.pauseHandBackMs ?? PAUSE_HAND_BACK_MS).unref()
  }

  private handBackAll (message: string): void {
    this.redelivery.dropOrphans()
    for (const requester of this.requesters.values()) requester.handBack({ reason: 'draining', message, retryAfterMs: DRAINING_RETRY_MS })
  }

  load (): WorkerLoad {
    let leases = 0
    let active = 0
    for (const requester of this.requesters.values()) {
      if (requester.open) leases++
      active += requester.active
    }
    return { leases, active, draining: this.draining, ...this.redelivery.counts, diskReservedBytes: this.disk.reserved }
  }

  private get slots (): Slots {
    const { slots, paused } = this.available ?? { slots: this.components.executor.slots, paused: false }
    if (slots === 0 || paused) return { process: 0, inline: 0 }
    return { process: this.init.slots ?? slots + PREFETCH_SLOTS, inline: this.init.inlineSlots ?? INLINE_SLOTS }
  }

  private get engines (): number {
    return this.available?.slots ?? this.components.executor.slots
  }

  private retryAfterMs (): number {
    return this.queueTime.untilFree(this.load().active, this.engines)
  }

  private refuseOrder (requester: string, { size, large }: { size: number, large: boolean }, outputBytes: number): Refusal | undefined {
    const retryAfterMs = this.retryAfterMs()
    return queueRefusal(this.load().active, this.engines, retryAfterMs) ?? (large ? this.refuseDisk(requester, diskNeed(size, outputBytes), retryAfterMs) : undefined)
  }

  private refuseDisk (requester: string, need: number, retryAfterMs: number): Refusal | undefined {
    const { executor } = this.components
    if (executor.freeBytes == null) return undefined
    const now = performance.now()
    try {
      if (now - this.free.at > DISK_LOOK_MS) this.free = { bytes: executor.freeBytes(), at: now }
    } catch (error) {
      return { reason: 'busy', message: `the free space on disk is not known: ${(error as Error).message}`, retryAfterMs }
    }
    return this.disk.refuse(requester, need, this.free.bytes, retryAfterMs)
  }

  private onLease (stream: Stream, connection: Connection): void {
    const { remotePeer: peer } = connection
    if (peer.publicKey?.type !== 'Ed25519') {
      stream.abort(new Error('a requester without an Ed25519 key cannot sign its orders'))
      return
    }
    const key = peer.toString()
    const requester = this.requesters.get(key) ?? new LeaseServer({
      components: this.components,
      converters: this.converters,
      signer: this.signer,
      peer,
      slots: this.slots,
      redelivery: this.redelivery,
      heartbeatMs: this.init.heartbeatMs,
      requestMs: this.init.requestMs,
      refuseLease: () => this.refuseLease(connection),
      refuseOrder: (order, { outputBytes }) => this.refuseOrder(key, order, outputBytes),
      reserve: ({ size }, { outputBytes }) => this.disk.reserve(key, diskNeed(size, outputBytes)),
      retryAfterMs: () => this.retryAfterMs(),
      took: ms => { this.queueTime.took(ms) }
    })
    this.requesters.delete(key)
    this.requesters.set(key, requester)
    const greeted = this.components.network.requireGreeted(connection)
    requester.serve(stream, greeted, hostOf(String(connection.remoteAddr)))
    greeted.catch(() => {
      // its stream is reset by the requester's handler. A stranger is not remembered, unless another connection of it is being served
      if (!requester.known && !requester.inUse && this.requesters.get(key) === requester) this.requesters.delete(key)
    })
    this.forget()
  }

  private onTask (stream: Stream, connection: Connection): void {
    const task = serveTask(stream, connection, { ...this.init, signal: this.stopping.signal }, this.components.network.requireGreeted(connection), () => this.requesters.get(connection.remotePeer.toString()))
    this.tasks.add(task)
    void task.finally(() => this.tasks.delete(task))
  }

  private refuseLease (connection: Connection): Refusal | undefined {
    const own = this.components.policy?.lease?.(connection.remotePeer)
    if (own != null) return own
    if (this.draining) return { reason: 'draining', message: 'this node takes no new work', retryAfterMs: DRAINING_RETRY_MS }
    const { process, inline } = this.slots
    if (process + inline === 0) return { reason: 'draining', message: `this node takes no new work${this.available?.reason == null ? '' : `: ${this.available.reason}`}`, retryAfterMs: DRAINING_RETRY_MS }
    const most = this.init.maxLeases ?? LEASES_MAX
    const known = this.requesters.get(connection.remotePeer.toString())
    if (known?.open !== true && this.load().leases >= most) return { reason: 'busy', message: `this node serves ${most} leases at a time`, retryAfterMs: this.retryAfterMs() }
    return undefined
  }

  private forget (): void {
    for (const [key, requester] of this.requesters) {
      if (this.requesters.size <= REQUESTERS_MAX) return
      if (!requester.inUse && requester.active === 0) this.requesters.delete(key)
    }
  }
}

/** Loaded when a server starts: a node that only asks needs no family of converters. */
async function ownConverters (): Promise<ServedConverters> {
  const { converterById } = await import('../block-convert/index.ts')
  return { find: converterById }
}
