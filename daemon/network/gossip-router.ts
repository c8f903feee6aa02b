/**
 * gossipsub, held to our limits.
 *
 * @libp2p/gossipsub 17.1.1 takes a `protocols` option and ignores it, opens streams to one peer after the other (one that does not answer stops the
 * rest), never opens a lost one again, answers a request for any number of messages in one frame, forgets a peer's score when it reconnects, and
 * marks a message as seen before anybody could refuse it. What is replaced here are those members; a version without them is refused.
 */
import { createHash } from 'node:crypto'
import { gossipsub, StrictNoSign, type GossipSub, type GossipSubComponents, type Message } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { Log } from '../log.ts'
import * as limits from './constants.ts'
import { guardLengths } from './framing.ts'
import { gate, type Greeter } from './gate.ts'
import { GOSSIP_MISDEED_UNTIMELY } from './gossip-constants.ts'
import { GossipQuota } from './gossip-quota.ts'
import type { GossipVerdict } from './index.ts'
import { Misdeeds, scoreOf } from './misdeeds.ts'
import { override } from './override.ts'

/** The id gossipsub knows its newest version by, and decides by what a peer can do. On the wire it is `/weft/<network>/meshsub/1.2.0`. */
const INTERNAL = '/meshsub/1.2.0'

/** Bytes of a message's id: 128 bits of a hash. */
const ID_BYTES = 16

interface RpcMessage { topic: string, data?: Uint8Array, from?: Uint8Array, seqno?: Uint8Array, signature?: Uint8Array, key?: Uint8Array }

/** What we use of gossipsub beyond its published type. */
interface Internals {
  peers: Map<string, PeerId>
  streamsOutbound: Map<string, unknown>
  subscriptions: Set<string>
  seenCache: { has: (id: string) => boolean }
  gossipTracer: { deliverMessage: (id: string, duplicate?: boolean) => void }
  allowedTopics: { has: (topic: string) => boolean } | null
  outboundInflightQueue: { push: (item: { peerId: PeerId, connection: Connection }) => void, end: () => void }
  status: { heartbeatTimeout?: NodeJS.Timeout }
  createOutboundStream: (peer: PeerId, connection: Connection) => Promise<void>
  onPeerConnected: (peer: PeerId, connection: Connection) => void
  onPeerDisconnected: (peer: PeerId) => void
  handleReceivedMessage: (from: PeerId, message: RpcMessage) => Promise<void>
  handleIHave: (peer: string, ihave: unknown[]) => Array<{ messageIDs: Uint8Array[] }>
  pushGossip: (peer: string, ihave: { topicID: string, messageIDs: Uint8Array[] }) => void
  sendRpc: (peer: string, rpc: { subscriptions: never[], messages: RpcMessage[] }) => boolean
  start: () => Promise<void>
  stop: () => Promise<void>
}

export interface TopicRules {
  /** Before a message is marked as seen: false for one that nobody is to remember. */
  admit: (from: PeerId, data: Uint8Array) => boolean
  judge: (from: PeerId, data: Uint8Array) => Promise<GossipVerdict>
}

export interface RouterInit {
  /** `/weft/<network>/meshsub/1.2.0` */
  protocol: string
  /** `/weft/<network>/`: topics without it are nobody's business. */
  topicPrefix: string
  log: Log
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

export class GossipRouter {
  readonly #init: RouterInit
  readonly #now: () => number
  readonly #misdeeds = new Misdeeds({ halfLifeMs: limits.GOSSIP_MISDEEDS_HALF_LIFE_MS, max: limits.GOSSIP_MISDEEDS_PEERS_MAX })
  readonly #quota = new GossipQuota()
  readonly #rules = new Map<string, TopicRules>()
  /** Ids of what was admitted and is not judged yet: gossipsub marks them as seen a turn later, and copies in the same frame must not cost again. */
  readonly #taking = new Set<string>()
  readonly #opening = new Set<string>()
  /** Oldest first. */
  #recent: Array<{ topic: string, data: Uint8Array, at: number, sent: Set<string> }> = []
  #service: GossipSub | undefined
  #internals: Internals | undefined

  constructor (init: RouterInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
  }

  /** For libp2p's `services`. */
  create (components: GossipSubComponents, greeter: Greeter): GossipSub {
    const service = gossipsub({
      globalSignaturePolicy: StrictNoSign,
      fallbackToFloodsub: false,
      msgIdFn: ({ topic, data }: Message) => idOf(topic, data),
      msgIdToStrFn: id => Buffer.from(id).toString('base64'),
      emitSelf: false,
      floodPublish: true,
      allowPublishToZeroTopicPeers: true,
      ignoreDuplicatePublishError: true,
      doPX: false,
      tagMeshPeers: false,
      maxInboundDataLength: limits.GOSSIP_FRAME_BYTES_MAX,
      maxOutboundBufferSize: limits.GOSSIP_OUTBOUND_BYTES_MAX,
      maxInboundStreams: limits.GOSSIP_STREAMS_MAX,
      maxOutboundStreams: limits.GOSSIP_STREAMS_MAX,
      maxTopicBytesPerPeer: limits.GOSSIP_TOPIC_BYTES_PER_PEER,
      heartbeatInterval: limits.GOSSIP_HEARTBEAT_MS,
      decodeRpcLimits: {
        maxSubscriptions: limits.GOSSIP_FRAME_ENTRIES_MAX,
        maxMessages: limits.GOSSIP_FRAME_ENTRIES_MAX,
        maxControlMessages: limits.GOSSIP_FRAME_ENTRIES_MAX,
        maxIhaveMessageIDs: limits.GOSSIP_ANNOUNCED_MAX,
        maxIwantMessageIDs: limits.GOSSIP_WANTED_MAX,
        maxIdontwantMessageIDs: limits.GOSSIP_FRAME_ENTRIES_MAX,
        maxPeerInfos: 0
      },
      scoreParams: {
        // No topic is scored: prices change seldom, and who has none to pass on is no bad neighbour. Misdeeds are counted here.
        topics: {},
        appSpecificScore: peer => scoreOf(this.#misdeeds.points(peer, this.#now()), limits.GOSSIP_MISDEEDS_TOLERATED),
        appSpecificWeight: 1,
        // A laboratory behind one address is no attack.
        IPColocationFactorWeight: 0,
        behaviourPenaltyWeight: -1,
        behaviourPenaltyThreshold: 6,
        behaviourPenaltyDecay: 0.9,
        // Nothing of it would survive a reconnection.
        retainScore: 0
      },
      scoreThresholds: {
        gossipThreshold: scoreOf(limits.GOSSIP_MISDEEDS_MAX / 2, limits.GOSSIP_MISDEEDS_TOLERATED),
        publishThreshold: scoreOf(limits.GOSSIP_MISDEEDS_MAX / 2, limits.GOSSIP_MISDEEDS_TOLERATED),
        graylistThreshold: scoreOf(limits.GOSSIP_MISDEEDS_MAX, limits.GOSSIP_MISDEEDS_TOLERATED),
        acceptPXThreshold: Number.MAX_SAFE_INTEGER
      }
    })(gate(this.#translated(components), greeter, (stream, connection) => { this.#guard(stream, connection) }))
    this.#service = service
    this.#internals = this.#restrain(service)
    return service
  }

  /** A greeted peer is connected, or has no gossip stream yet. */
  connect (peer: PeerId, connection: Connection): void {
    this.#quota.connected(peer.toString(), this.#now())
    this.#internals?.onPeerConnected(peer, this.#translatedConnection(connection))
  }

  /** The last connection to a peer closed. */
  disconnect (peer: PeerId): void {
    this.#internals?.onPeerDisconnected(peer)
    this.#quota.disconnected(peer.toString())
  }

  /** A stream to it is open, or about to be. */
  isConnected (peer: PeerId): boolean {
    const key = peer.toString()
    return this.#internals?.streamsOutbound.has(key) === true || this.#opening.has(key)
  }

  /** Messages waiting for judgement. */
  get pending (): number {
    return this.#quota.pending
  }

  /** Misdeeds of a peer that still count. */
  misdeeds (peer: PeerId): number {
    return this.#misdeeds.points(peer.toString(), this.#now())
  }

  subscribe (topic: string, rules: TopicRules): void {
    this.#rules.set(topic, rules)
    this.#service?.topicValidators.set(topic, (async (from: PeerId, { data }: Message) => {
      const judged = this.#quota.wait(from.toString())
      const verdict = await rules.judge(from, data).finally(judged)
      if (verdict === 'reject') this.#misdeeds.add(from.toString(), limits.GOSSIP_MISDEED_REJECTED, this.#now())
      if (verdict === 'untimely') this.#misdeeds.add(from.toString(), GOSSIP_MISDEED_UNTIMELY, this.#now())
      return verdict === 'untimely' ? 'ignore' : verdict
    }) as never)
    this.#service?.subscribe(topic)
  }

  unsubscribe (topic: string): void {
    this.#rules.delete(topic)
    this.#service?.topicValidators.delete(topic)
    this.#service?.unsubscribe(topic)
  }

  async publish (topic: string, data: Uint8Array): Promise<number> {
    const { recipients } = await this.#service?.publish(topic, data) ?? { recipients: [] }
    const now = this.#now()
    this.#recent = [...this.#recent.filter(({ at }) => now - at < limits.GOSSIP_RECENT_MS), { topic, data, at: now, sent: new Set(recipients.map(String)) }].slice(-limits.GOSSIP_RECENT_MAX)
    return recipients.length
  }

  /** To whom something can be sent now. */
  subscribers (topic: string): PeerId[] {
    return this.#service?.getSubscribers(topic).filter(peer => this.#internals?.streamsOutbound.has(peer.toString())) ?? []
  }

  /** gossipsub sends a message to those it knows when it is published: who is just connecting would miss it. */
  #catchUp (peer: PeerId): void {
    const key = peer.toString()
    if (this.#internals?.streamsOutbound.has(key) !== true) return
    const now = this.#now()
    for (const { topic, data, at, sent } of this.#recent) {
      if (now - at >= limits.GOSSIP_RECENT_MS || sent.has(key) || !this.subscribers(topic).some(subscriber => subscriber.equals(peer))) continue
      if (this.#internals.sendRpc(key, { subscriptions: [], messages: [{ topic, data }] })) sent.add(key)
    }
  }

  /** Frames in. */
  #guard (stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    guardLengths(stream, limits.GOSSIP_FRAME_BYTES_MAX, bytes => {
      if (this.#quota.frame(peer, bytes, this.#now())) return true
      this.#misdeeds.add(peer, limits.GOSSIP_MISDEED_RESET, this.#now())
      return false
    })
  }

  /** False for a message that is not looked at: it is as if it had not come, and may still come from somebody else. */
  #admits (from: PeerId, message: RpcMessage): boolean {
    const now = this.#now()
    const peer = from.toString()
    if (this.#misdeeds.points(peer, now) >= limits.GOSSIP_MISDEEDS_MAX) return false
    // Not one of ours; a subscription that ended is no fault of the sender.
    if (this.#internals?.subscriptions.has(message.topic) !== true) return false
    const data = message.data ?? new Uint8Array()
    if (data.byteLength > limits.GOSSIP_MESSAGE_BYTES_MAX || message.from != null || message.seqno != null || message.signature != null || message.key != null) {
      this.#misdeeds.add(peer, limits.GOSSIP_MISDEED_REJECTED, now)
      return false
    }
    const admittance = this.#quota.message(peer, this.#internals.peers.size, now)
    if (admittance === 'flood') this.#misdeeds.add(peer, limits.GOSSIP_MISDEED_FLOOD, now)
    return admittance === 'take' && this.#rules.get(message.topic)?.admit(from, data) === true
  }

  /** The components with our protocol's name on the wire. Peers are made known by `connect`, not by what they say they speak. */
  #translated (components: GossipSubComponents): GossipSubComponents {
    const { registrar } = components
    return override(components, {
      registrar: override(registrar, {
        handle: async (_protocol, handler, options) => {
          await registrar.handle(this.#init.protocol, async (stream, connection) => { await handler(closing(stream, {}), this.#translatedConnection(connection)) }, options)
        },
        unhandle: async () => { await registrar.unhandle(this.#init.protocol) },
        register: async () => 'weft',
        unregister: () => {}
      })
    })
  }

  #translatedConnection (connection: Connection): Connection {
    return override(connection, {
      newStream: async () => {
        const stream = await connection.newStream(this.#init.protocol, { signal: AbortSignal.timeout(limits.GOSSIP_OPEN_TIMEOUT_MS) })
        // Frames come on the stream the other side opens.
        stream.addEventListener('message', () => { stream.abort(new Error('data on a stream that is only written')) })
        return closing(stream, { protocol: INTERNAL })
      }
    })
  }

  #restrain (service: GossipSub): Internals {
    const internals = service as unknown as Internals
    const { handleReceivedMessage, handleIHave, pushGossip, createOutboundStream, start, stop } = internals
    for (const member of [handleReceivedMessage, handleIHave, pushGossip, createOutboundStream, start, stop, internals.sendRpc, internals.onPeerConnected, internals.onPeerDisconnected]) {
      if (typeof member !== 'function') throw new Error('this version of @libp2p/gossipsub is not the one gossip-router.ts was written for')
    }
    service.protocols = [INTERNAL]
    internals.allowedTopics = { has: topic => topic.startsWith(this.#init.topicPrefix) && topic.length <= limits.GOSSIP_TOPIC_CHARS_MAX }
    internals.handleReceivedMessage = async (from, message) => {
      const id = Buffer.from(idOf(message.topic, message.data ?? new Uint8Array())).toString('base64')
      if (internals.seenCache.has(id) || this.#taking.has(id)) {
        await handleReceivedMessage.call(service, from, message)
      } else if (this.#admits(from, message)) {
        this.#taking.add(id)
        try {
          await handleReceivedMessage.call(service, from, message)
        } finally {
          this.#taking.delete(id)
        }
      } else {
        // It came as promised, though it was not wanted.
        internals.gossipTracer.deliverMessage(id)
      }
    }
    internals.handleIHave = (peer, ihave) => {
      const wanted = handleIHave.call(service, peer, ihave)
      return wanted.map(({ messageIDs }) => ({ messageIDs: messageIDs.slice(0, limits.GOSSIP_WANTED_MAX) }))
    }
    internals.pushGossip = (peer, { topicID, messageIDs }) => {
      pushGossip.call(service, peer, { topicID, messageIDs: messageIDs.slice(0, limits.GOSSIP_ANNOUNCED_MAX) })
    }
    service.addEventListener('subscription-change', ({ detail: { peerId, subscriptions } }) => { if (subscriptions.some(({ subscribe }) => subscribe)) this.#catchUp(peerId) })
    const open = async (peer: PeerId, connection: Connection): Promise<void> => {
      const key = peer.toString()
      if (this.#opening.has(key)) return
      this.#opening.add(key)
      try {
        await createOutboundStream.call(service, peer, connection)
        this.#catchUp(peer)
      } finally {
        this.#opening.delete(key)
      }
    }
    internals.start = async () => {
      await start.call(service)
      internals.outboundInflightQueue.end()
      internals.outboundInflightQueue = {
        push: ({ peerId, connection }) => { open(peerId, connection).catch(error => { this.#init.log.debug({ error }, 'no gossip stream') }) },
        end: () => {}
      }
    }
    internals.stop = async () => {
      const { heartbeatTimeout } = internals.status
      await stop.call(service)
      // It would keep the process for a second.
      clearTimeout(heartbeatTimeout)
      this.#quota.stop()
      this.#recent = []
    }
    return internals
  }
}

/** A stream whose `close` does not wait for ever for a peer that does not read. */
function closing (stream: Stream, members: Partial<Stream>): Stream {
  return override(stream, {
    ...members,
    close: async options => { await stream.close({ signal: AbortSignal.timeout(limits.CLOSE_TIMEOUT_MS), ...options }) }
  })
}

function idOf (topic: string, data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Math.min(topic.length, 0xffff))
  return createHash('sha256').update(length).update(topic).update(data).digest().subarray(0, ID_BYTES)
}
