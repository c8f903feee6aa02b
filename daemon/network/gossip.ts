/** Topics of the network: who judges what comes, and which members have a stream. */
import type { PeerId } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'
import type { Log } from '../log.ts'
import { GOSSIP_MESSAGE_BYTES_MAX, GOSSIP_REPAIR_MAX_MS, GOSSIP_REPAIR_MS, GOSSIP_TOPIC_CHARS_MAX, GOSSIP_TOPICS_MAX } from './constants.ts'
import { NetworkConfigError } from './errors.ts'
import type { GossipRouter } from './gossip-router.ts'
import type { Gossip, GossipMessage, GossipVerdict, NetworkEvents, PeerGreeted, SubscribeOptions } from './index.ts'

type Judge = (message: GossipMessage) => Promise<GossipVerdict> | GossipVerdict

interface Subscriber extends SubscribeOptions { judge: Judge }

export interface GossipComponents {
  router: GossipRouter
  /** Says who is greeted, and who is gone. */
  hello: TypedEventTarget<NetworkEvents> & { peers: () => PeerGreeted[] }
  log: Log
}

export class GossipService implements Gossip {
  readonly #components: GossipComponents
  readonly #prefix: string
  readonly #subscribers = new Map<string, Subscriber>()
  /** Members without a stream: how often it was tried, and when it is next. */
  readonly #missing = new Map<string, { tries: number, at: number }>()
  #timer: NodeJS.Timeout | undefined
  #started = false

  /** @param prefix of every topic: `/weft/<network>/` */
  constructor (components: GossipComponents, prefix: string) {
    this.#components = components
    this.#prefix = prefix
  }

  /** Call once libp2p started. */
  start (): void {
    const { hello, router } = this.#components
    this.#started = true
    hello.addEventListener('peer', this.#onPeer)
    hello.addEventListener('gone', this.#onGone)
    for (const topic of this.#subscribers.keys()) this.#listen(topic)
    for (const { peer, connection } of hello.peers()) router.connect(peer, connection)
    this.#timer = setInterval(() => { this.#repair(performance.now()) }, GOSSIP_REPAIR_MS).unref()
  }

  /** Call before libp2p stops. Subscriptions outlive it. */
  stop (): void {
    const { hello } = this.#components
    this.#started = false
    clearInterval(this.#timer)
    hello.removeEventListener('peer', this.#onPeer)
    hello.removeEventListener('gone', this.#onGone)
    this.#missing.clear()
  }

  subscribe (topic: string, judge: Judge, options: SubscribeOptions = {}): () => void {
    this.#full(topic)
    if (this.#subscribers.has(topic)) throw new NetworkConfigError('gossip', `topic '${topic}' is subscribed to already: end that subscription first`)
    if (this.#subscribers.size >= GOSSIP_TOPICS_MAX) throw new NetworkConfigError('gossip', `${GOSSIP_TOPICS_MAX} topics are subscribed to, which is the most: end one first`)
    const subscriber = { ...options, judge }
    this.#subscribers.set(topic, subscriber)
    if (this.#started) this.#listen(topic)
    return () => {
      if (this.#subscribers.get(topic) !== subscriber) return
      this.#subscribers.delete(topic)
      if (this.#started) this.#components.router.unsubscribe(this.#full(topic))
    }
  }

  async publish (topic: string, data: Uint8Array): Promise<number> {
    const full = this.#full(topic)
    if (data.byteLength > GOSSIP_MESSAGE_BYTES_MAX) throw new NetworkConfigError('gossip', `a message of ${data.byteLength} bytes on '${topic}': at most ${GOSSIP_MESSAGE_BYTES_MAX} are passed on`)
    return this.#started ? await this.#components.router.publish(full, data) : 0
  }

  subscribers (topic: string): PeerId[] {
    return this.#components.router.subscribers(this.#full(topic))
  }

  #listen (topic: string): void {
    this.#components.router.subscribe(this.#full(topic), {
      admit: (from, data) => {
        try {
          return this.#subscribers.get(topic)?.admit?.({ topic, data, from }) ?? true
        } catch (error) {
          this.#components.log.error({ error, topic }, 'whether a gossip message is looked at could not be decided')
          return false
        }
      },
      judge: async (from, data) => {
        try {
          return await this.#subscribers.get(topic)?.judge({ topic, data, from }) ?? 'ignore'
        } catch (error) {
          this.#components.log.error({ error, topic }, 'a gossip message could not be judged')
          return 'ignore'
        }
      }
    })
  }

  #full (topic: string): string {
    const full = this.#prefix + topic
    // eslint-disable-next-line no-control-regex
    if (topic === '' || full.length > GOSSIP_TOPIC_CHARS_MAX || /[^\u0021-\u007e]/.test(topic)) throw new NetworkConfigError('gossip', `topic '${topic}': use 1 to ${GOSSIP_TOPIC_CHARS_MAX - this.#prefix.length} printable characters without spaces`)
    return full
  }

  readonly #onPeer = ({ detail: { peer, connection } }: CustomEvent<PeerGreeted>): void => { this.#components.router.connect(peer, connection) }

  readonly #onGone = ({ detail: { peer } }: CustomEvent<{ peer: PeerId }>): void => {
    this.#missing.delete(peer.toString())
    this.#components.router.disconnect(peer)
  }

  /** Members whose stream ended (it was reset, or its connection closed while another remains) get a new one, with growing pauses. */
  #repair (now: number): void {
    const { hello, router } = this.#components
    for (const { peer, connection } of hello.peers()) {
      const key = peer.toString()
      if (router.isConnected(peer)) {
        this.#missing.delete(key)
        continue
      }
      const { tries, at } = this.#missing.get(key) ?? { tries: 0, at: now }
      if (at > now) continue
      this.#missing.set(key, { tries: tries + 1, at: now + Math.min(GOSSIP_REPAIR_MAX_MS, GOSSIP_REPAIR_MS * 2 ** Math.min(tries, 16)) })
      router.connect(peer, connection)
    }
  }
}
