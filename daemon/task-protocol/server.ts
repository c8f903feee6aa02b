/** The worker's side: serves leases and task streams of every requester with one executor. */
import type { Connection, Stream } from '@libp2p/interface'
import { BatchSigner } from '../trust/index.ts'
import {
  INLINE_SLOTS, LEASE_PROTOCOL, LEASE_STREAMS_MAX, LEASES_MAX, PREFETCH_SLOTS, PROTOCOL_VERSION, REQUESTERS_MAX, RETRY_AFTER_MS, TASK_PROTOCOL, TASK_STREAMS_MAX
} from './constants.ts'
import type { TaskServer } from './index.ts'
import type { Refusal, Slots } from './lease-model.ts'
import { LeaseServer } from './lease-server.ts'
import type { ServedConverters, TaskServerComponents, TaskServerInit } from './server-types.ts'
import { serveTask } from './task-server.ts'

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
  private stopping = new AbortController()

  constructor (components: TaskServerComponents, init: TaskServerInit) {
    this.components = components
    this.init = init
    this.signer = new BatchSigner(components.identity.nodeKey)
  }

  private get protocols (): { lease: string, task: string } {
    const { network } = this.components
    return { lease: network.protocol(LEASE_PROTOCOL, PROTOCOL_VERSION), task: network.protocol(TASK_PROTOCOL, PROTOCOL_VERSION) }
  }

  async start (): Promise<void> {
    const { lease, task } = this.protocols
    this.converters = this.components.converters ?? await ownConverters()
    this.draining = false
    this.stopping = new AbortController()
    const { libp2p } = this.components.network
    await libp2p.handle(lease, (stream, connection) => { this.onLease(stream, connection) }, { maxInboundStreams: LEASE_STREAMS_MAX, maxOutboundStreams: LEASE_STREAMS_MAX })
    await libp2p.handle(task, (stream, connection) => { this.onTask(stream, connection) }, { maxInboundStreams: TASK_STREAMS_MAX, maxOutboundStreams: TASK_STREAMS_MAX })
  }

  async stop (): Promise<void> {
    const { lease, task } = this.protocols
    await this.components.network.libp2p.unhandle([lease, task])
    await Promise.all([...this.requesters.values()].map(requester => requester.stop()))
    this.stopping.abort(new Error('the task server is stopping'))
    await Promise.allSettled(this.tasks)
    this.requesters.clear()
  }

  async drain ({ signal }: { signal: AbortSignal }): Promise<void> {
    this.draining = true
    signal.throwIfAborted()
    const { promise: given, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => { reject(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([Promise.all([...this.requesters.values()].map(requester => requester.drain())), given])
      // a slot is free before the last bytes of its task stream have arrived
      await Promise.race([Promise.allSettled(this.tasks), given])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  load (): { leases: number, active: number, draining: boolean } {
    let leases = 0
    let active = 0
    for (const requester of this.requesters.values()) {
      if (requester.open) leases++
      active += requester.active
    }
    return { leases, active, draining: this.draining }
  }

  private get slots (): Slots {
    return { process: this.init.slots ?? this.components.executor.slots + PREFETCH_SLOTS, inline: this.init.inlineSlots ?? INLINE_SLOTS }
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
      heartbeatMs: this.init.heartbeatMs,
      requestMs: this.init.requestMs,
      refuseLease: () => this.refuseLease(connection)
    })
    this.requesters.delete(key)
    this.requesters.set(key, requester)
    const greeted = this.components.network.requireGreeted(connection)
    requester.serve(stream, greeted)
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
    if (this.draining) return { reason: 'draining', message: 'this node takes no new work', retryAfterMs: RETRY_AFTER_MS }
    const most = this.init.maxLeases ?? LEASES_MAX
    const known = this.requesters.get(connection.remotePeer.toString())
    if (known?.open !== true && this.load().leases >= most) return { reason: 'busy', message: `this node serves ${most} leases at a time`, retryAfterMs: RETRY_AFTER_MS }
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
