/** Bulletins to break, and a network of gossip without sockets. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { BULLETIN_DOMAIN, BULLETIN_VALIDITY_MS, type Bulletin, type BulletinContent } from '../../../daemon/market/index.ts'
import type { Gossip, GossipMessage, GossipVerdict, SubscribeOptions } from '../../../daemon/network/index.ts'
import { DAG_CBOR_PAYLOAD, encodeCanonical, seal } from '../../../daemon/trust/index.ts'

export const NETWORK = 'test'
export const NOW = Date.UTC(2026, 5, 1)

export interface Signer { nodeKey: PrivateKey, peerId: PeerId }

export async function signer (): Promise<Signer> {
  const nodeKey = await generateKeyPair('Ed25519')
  return { nodeKey, peerId: peerIdFromPrivateKey(nodeKey) }
}

export function bulletinOf ({ peerId }: Pick<Signer, 'peerId'>, fields: Partial<Bulletin> = {}): Bulletin {
  return {
    version: 1,
    network: NETWORK,
    peer: peerId.toString(),
    sequence: NOW,
    issued: NOW,
    expires: NOW + BULLETIN_VALIDITY_MS,
    price: '250000',
    unit: 'credit',
    draining: false,
    load: { slots: 2, busy: 1, loopDelayMs: 3 },
    ...fields
  }
}

export function content (fields: Partial<BulletinContent> = {}): BulletinContent {
  return { families: ['table'], price: '250000', unit: 'credit', draining: false, load: { slots: 2, busy: 0, loopDelayMs: 1.4 }, ...fields }
}

/** Seals any value as if it were a bulletin. */
export async function forge ({ nodeKey }: Signer, value: unknown, domain = BULLETIN_DOMAIN): Promise<Uint8Array> {
  return await forgeBytes({ nodeKey }, encodeCanonical(value), domain)
}

export async function forgeBytes ({ nodeKey }: Pick<Signer, 'nodeKey'>, payload: Uint8Array, domain = BULLETIN_DOMAIN): Promise<Uint8Array> {
  return await seal(nodeKey, domain, DAG_CBOR_PAYLOAD, payload)
}

/** A full mesh: what one publishes every other subscriber judges, at once. */
export class GossipHub {
  readonly published: Array<{ topic: string, data: Uint8Array, from: string }> = []
  readonly #judges: Array<{ topic: string, peer: PeerId, judge: (message: GossipMessage) => Promise<GossipVerdict> | GossipVerdict, admit: SubscribeOptions['admit'] }> = []
  readonly #watchers = new Set<() => void>()

  join (peer: PeerId, topicsMax = 4): Gossip {
    return {
      subscribe: (topic, judge, { admit } = {}) => {
        if (this.topics(peer).length >= topicsMax) throw new Error('too many topics')
        const entry = { topic, peer, judge, admit }
        this.#judges.push(entry)
        return () => { this.#judges.splice(this.#judges.indexOf(entry), 1) }
      },
      publish: async (topic, data) => {
        this.published.push({ topic, data, from: peer.toString() })
        const others = this.#judges.filter(entry => entry.topic === topic && !entry.peer.equals(peer))
        await Promise.all(others.map(async ({ judge, admit }) => admit?.({ topic, data, from: peer }) === false ? 'later' : await judge({ topic, data, from: peer })))
        for (const look of this.#watchers) look()
        return others.length
      },
      subscribers: topic => this.#judges.filter(entry => entry.topic === topic).map(entry => entry.peer)
    }
  }

  topics (peer: PeerId): string[] {
    return this.#judges.filter(entry => entry.peer.equals(peer)).map(({ topic }) => topic)
  }

  /** What the subscriber of a topic says to a message; `later` if it is not looked at. */
  async judged (peer: PeerId, topic: string, data: Uint8Array, from: PeerId): Promise<GossipVerdict | 'later'> {
    const entry = this.#judges.find(each => each.peer.equals(peer) && each.topic === topic)
    if (entry == null) throw new Error(`nobody subscribed to ${topic}`)
    return entry.admit?.({ topic, data, from }) === false ? 'later' : await entry.judge({ topic, data, from })
  }

  /** Resolves once `check` holds; looks after every publication. */
  async until (check: () => boolean): Promise<void> {
    if (check()) return
    await new Promise<void>(resolve => {
      const look = (): void => {
        if (!check()) return
        this.#watchers.delete(look)
        resolve()
      }
      this.#watchers.add(look)
    })
  }
}
