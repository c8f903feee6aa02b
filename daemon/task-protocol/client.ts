/** The requester's side: one lease per worker, shared by every job that uses it. */
import type { PeerId } from '@libp2p/interface'
import { BatchSigner, encodeCanonical } from '../trust/index.ts'
import type { TaskClientComponents, TaskClientInit } from './client-types.ts'
import { ATTACH_TIMEOUT_MS, LEASE_IDLE_MS, LEASE_PROTOCOL, LEASE_STREAMS_MAX, PARAMETERS_BYTES_MAX, PROTOCOL_VERSION, TASK_PROTOCOL } from './constants.ts'
import type { Offer, TaskClient, WorkerEvents } from './index.ts'
import { LeaseClient, type Attached } from './lease-client.ts'
import type { WireOffer } from './messages.ts'

export function createTaskClient (components: TaskClientComponents, init: TaskClientInit = {}): TaskClient {
  return new LeasingTaskClient(components, init)
}

class LeasingTaskClient implements TaskClient {
  private readonly components: TaskClientComponents
  private readonly init: TaskClientInit
  private readonly signer: BatchSigner
  /** Leases open or being opened, by peer. */
  private readonly leases = new Map<string, Promise<LeaseClient>>()
  private readonly open = new Set<LeaseClient>()
  private stopping = new AbortController()

  constructor (components: TaskClientComponents, init: TaskClientInit) {
    this.components = components
    this.init = { ...init, idleMs: init.idleMs ?? LEASE_IDLE_MS }
    this.signer = new BatchSigner(components.identity.nodeKey)
  }

  async start (): Promise<void> {
    this.stopping = new AbortController()
  }

  async stop (): Promise<void> {
    this.stopping.abort(new Error('the task client is stopping'))
    for (const lease of this.open) lease.close('this node is stopping')
    await Promise.allSettled(this.leases.values())
    this.leases.clear()
  }

  async attach (peer: PeerId, offer: Offer, events: WorkerEvents, options: { signal: AbortSignal }): Promise<Attached> {
    if (peer.publicKey?.type !== 'Ed25519') return { ok: false, reason: 'unsupported', message: 'the peer has no Ed25519 key, so its receipts cannot be checked' }
    let wire: Omit<WireOffer, 'offer'>
    try {
      wire = { ...offer, parameters: encodeCanonical(offer.parameters, { maxBytes: PARAMETERS_BYTES_MAX }) }
    } catch (error) {
      return { ok: false, reason: 'protocol', message: `the parameters cannot be sent: ${(error as Error).message}` }
    }
    const timeout = AbortSignal.timeout(this.init.attachTimeoutMs ?? ATTACH_TIMEOUT_MS)
    const signal = AbortSignal.any([options.signal, this.stopping.signal, timeout])
    try {
      signal.throwIfAborted()
      const lease = await this.lease(peer, signal)
      const answer = await lease.attach(wire, events, signal)
      if (!answer.ok && answer.reason === 'cancelled' && timeout.aborted) return { ok: false, reason: 'lost', message: 'the peer did not answer in time' }
      return answer
    } catch (error) {
      if (options.signal.aborted) return { ok: false, reason: 'cancelled', message: 'given up before the worker answered' }
      return { ok: false, reason: 'lost', message: `no lease with the peer: ${(error as Error).message}` }
    }
  }

  private async lease (peer: PeerId, signal: AbortSignal): Promise<LeaseClient> {
    const key = peer.toString()
    const known = this.leases.get(key)
    if (known != null) {
      try {
        return await known
      } catch (error) {
        // whoever opened it gave up; that is no reason for us to
        signal.throwIfAborted()
        this.components.log.debug({ peer: key, error: (error as Error).message }, 'a lease being opened failed; trying again')
      }
    }
    const opening = this.openLease(peer, key, signal)
    this.leases.set(key, opening)
    try {
      return await opening
    } catch (error) {
      if (this.leases.get(key) === opening) this.leases.delete(key)
      throw error
    }
  }

  private async openLease (peer: PeerId, key: string, signal: AbortSignal): Promise<LeaseClient> {
    const { network, generation } = this.components
    const { connection } = await network.greet(peer, { signal })
    const stream = await connection.newStream(network.protocol(LEASE_PROTOCOL, PROTOCOL_VERSION), { signal, maxOutboundStreams: LEASE_STREAMS_MAX })
    const lease: LeaseClient = new LeaseClient({
      components: this.components,
      init: this.init,
      signer: this.signer,
      peer,
      connection,
      taskProtocol: network.protocol(TASK_PROTOCOL, PROTOCOL_VERSION),
      generation: { incarnation: Number(generation.incarnation), counter: generation.next() },
      onEnd: () => {
        this.leases.delete(key)
        this.open.delete(lease)
      }
    }, stream)
    this.open.add(lease)
    return lease
  }
}
