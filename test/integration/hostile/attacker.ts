/** A bare libp2p peer that passed hello, and then does what it likes. */
import { createHash, randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PeerId, PrivateKey, Stream } from '@libp2p/interface'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { reader, writer } from 'protons-runtime'
import { EXCHANGE_BYTES_MAX } from '../../../daemon/dht-registry/constants.ts'
import { decodeResponse, encodeRequest, REQUEST, type Response } from '../../../daemon/dht-registry/messages.ts'
import { STREAM_WINDOW_INITIAL_BYTES } from '../../../daemon/network/constants.ts'
import { encodeHello, encodeVerdict, VERDICT } from '../../../daemon/network/messages.ts'
import { DAG_CBOR_PAYLOAD, didOf, encodeCanonical, seal } from '../../../daemon/trust/index.ts'
import { NETWORK, type TestNode } from '../registry/node.ts'

export const protocolOf = (name: string, version = '1.0.0'): string => `/weft/${NETWORK}/${name}/${version}`
export const KAD = protocolOf('kad')
export const ADVERT = protocolOf('advert')
export const HELLO = protocolOf('hello')

const ANSWER_MS = 10_000

/** Type numbers of kad-dht's messages. */
export const DHT = { putValue: 0, getValue: 1, addProvider: 2, getProviders: 3, findNode: 4, ping: 5 } as const

export interface DhtPeer { id: Uint8Array, addresses: Uint8Array[] }
export interface DhtMessage { type: number, key?: Uint8Array, record?: Uint8Array, closer?: DhtPeer[], providers?: DhtPeer[] }

export function dhtPeer (peer: PeerId, addresses: string[]): DhtPeer {
  return { id: peer.toMultihash().bytes, addresses: addresses.map(address => multiaddr(address).bytes) }
}

export function encodeDht ({ type, key, record, closer = [], providers = [] }: DhtMessage): Uint8Array {
  const out = writer().uint32(8).uint32(type)
  if (key != null) out.uint32(18).bytes(key)
  if (record != null) out.uint32(26).bytes(record)
  for (const [tag, peers] of [[66, closer], [74, providers]] as const) {
    for (const { id, addresses } of peers) {
      const peer = writer().uint32(10).bytes(id)
      for (const address of addresses) peer.uint32(18).bytes(address)
      out.uint32(tag).bytes(peer.finish())
    }
  }
  return out.finish()
}

export function decodeDht (bytes: Uint8Array): { type: number, key: Uint8Array, record?: Uint8Array, closer: number, providers: number } {
  const input = reader(bytes)
  const message: ReturnType<typeof decodeDht> = { type: 0, key: new Uint8Array(), closer: 0, providers: 0 }
  while (input.pos < input.len) {
    const tag = input.uint32()
    if (tag === 8) message.type = input.uint32()
    else if (tag === 18) message.key = input.bytes()
    else if (tag === 26) message.record = input.bytes()
    else {
      if (tag === 66) message.closer++
      if (tag === 74) message.providers++
      input.skipType(tag & 7)
    }
  }
  return message
}

/** PUT_VALUE of a value under a key. */
export function putValue (key: Uint8Array, value: Uint8Array): DhtMessage {
  return { type: DHT.putValue, key, record: new DhtRecord(key, value, new Date()).serialize().subarray() }
}

export interface AttackerOptions {
  key?: PrivateKey
  /** Listens on loopback, and answers hello there. @default false */
  listen?: boolean
  /** Says that it listens here. */
  announce?: string[]
  /** Answers the DHT's questions, and says so by identify; undefined: no answer. */
  dht?: (message: ReturnType<typeof decodeDht>) => DhtMessage | undefined
}

export class Attacker implements AsyncDisposable {
  readonly host: Libp2p
  readonly key: PrivateKey
  connection: Connection | undefined

  private constructor (host: Libp2p, key: PrivateKey) {
    this.host = host
    this.key = key
  }

  static async start ({ key, listen = false, announce = [], dht }: AttackerOptions = {}): Promise<Attacker> {
    const privateKey = key ?? await generateKeyPair('Ed25519')
    const host = await createLibp2p({
      privateKey,
      addresses: { listen: listen ? ['/ip4/127.0.0.1/tcp/0'] : [], announce },
      transports: [tcp()],
      connectionEncrypters: [tls()],
      streamMuxers: [yamux({ maxOutboundStreams: 100_000, maxInboundStreams: 100_000, streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES, maxReadBufferLength: 1 << 30 } })],
      connectionManager: { inboundConnectionThreshold: 10_000, maxIncomingPendingConnections: 1000 },
      connectionMonitor: { enabled: false },
      ...(dht == null && announce.length === 0 ? {} : { services: { identify: identify(), ping: ping() } })
    })
    const attacker = new Attacker(host, privateKey)
    await host.handle(HELLO, async stream => { await attacker.#hello(stream).catch(error => { stream.abort(error as Error) }) })
    if (dht != null) {
      await host.handle(KAD, async stream => {
        const messages = lpStream(stream)
        try {
          while (true) {
            const answer = dht(decodeDht((await messages.read({ signal: AbortSignal.timeout(ANSWER_MS) })).subarray()))
            if (answer != null) await messages.write(encodeDht(answer), { signal: AbortSignal.timeout(ANSWER_MS) })
          }
        } catch {
          // Who asked is done.
          await stream.close().catch(error => { stream.abort(error as Error) })
        }
      }, { maxInboundStreams: 1000 })
    }
    return attacker
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.host.stop()
  }

  get peer (): PeerId {
    return peerIdFromPrivateKey(this.key)
  }

  /** One more connection to a node, greeted. */
  async join (node: TestNode): Promise<Connection> {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const connection = await this.host.dial(multiaddr(node.address), { signal, force: true })
    await this.#hello(await connection.newStream(HELLO, { signal }))
    this.connection = connection
    return connection
  }

  /** Both sides of hello say the same. */
  async #hello (stream: Stream): Promise<void> {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const messages = lpStream(stream)
    await messages.write(encodeHello({ version: 1, network: NETWORK, agent: 'attacker', roles: [], nonce: randomBytes(32), delegation: await this.delegation() }), { signal })
    await messages.read({ signal })
    await messages.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: new Uint8Array() }), { signal })
    await messages.read({ signal })
    await stream.close({ signal })
  }

  /** As its own operator. */
  async delegation (): Promise<Uint8Array> {
    const now = Date.now()
    return await seal(this.key, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(this.key.publicKey), peer: this.peer.toString(), issued: now, expires: now + 600_000 }))
  }

  async stream (protocol: string): Promise<Stream> {
    if (this.connection == null) throw new Error('join first')
    return await this.connection.newStream(protocol, { signal: AbortSignal.timeout(ANSWER_MS), maxOutboundStreams: 100_000 })
  }

  /** The answer to one message of the DHT; undefined if the stream was reset instead. */
  async ask (message: DhtMessage): Promise<ReturnType<typeof decodeDht> | undefined> {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const stream = await this.stream(KAD)
    const messages = lpStream(stream)
    try {
      await messages.write(encodeDht(message), { signal })
      return decodeDht((await messages.read({ signal })).subarray())
    } catch (error) {
      if (signal.aborted) throw error
      return undefined
    } finally {
      stream.abort(new Error('done'))
    }
  }

  /** Sends messages that have no answer on one stream; resolves when the other side is done with them, and to whether it took them all. */
  async tell (messages: DhtMessage[]): Promise<boolean> {
    const stream = await this.stream(KAD)
    const closed = pEvent(stream, 'close', { timeout: ANSWER_MS })
    let reset = false
    const taken = lpStream(stream)
    try {
      for (const message of messages) await taken.write(encodeDht(message), { signal: AbortSignal.timeout(ANSWER_MS) })
      // A question comes last: its answer says that all before it were dealt with.
      await taken.write(encodeDht({ type: DHT.ping }), { signal: AbortSignal.timeout(ANSWER_MS) })
      await taken.read({ signal: AbortSignal.timeout(ANSWER_MS) })
    } catch {
      reset = true
    }
    stream.abort(new Error('done'))
    await closed
    return !reset
  }

  /** Tells an advert; undefined if the stream was reset instead of an answer. */
  async push (advert: Uint8Array): Promise<Response | undefined> {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const stream = await this.stream(ADVERT)
    const messages = lpStream(stream, { maxDataLength: EXCHANGE_BYTES_MAX })
    try {
      await messages.write(encodeRequest({ type: REQUEST.push, advert }), { signal })
      return decodeResponse((await messages.read({ signal })).subarray())
    } catch (error) {
      if (signal.aborted) throw error
      return undefined
    } finally {
      stream.abort(new Error('done'))
    }
  }
}

export interface Ground { key: PrivateKey, bits: number }

/** Where a key of the DHT lies. */
export function kadId (bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

/** The `count` of `tries` fresh keys whose peer ids lie closest to a key. */
export async function grind (target: Uint8Array, count: number, tries: number): Promise<Ground[]> {
  const found: Ground[] = []
  for (let i = 0; i < tries; i++) {
    const key = await generateKeyPair('Ed25519')
    found.push({ key, bits: sharedBits(kadId(peerIdFromPrivateKey(key).toMultihash().bytes), kadId(target)) })
  }
  return found.sort((a, b) => b.bits - a.bits).slice(0, count)
}

function sharedBits (a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.byteLength; i++) {
    const difference = (a[i] ?? 0) ^ (b[i] ?? 0)
    if (difference !== 0) return 8 * i + Math.clz32(difference) - 24
  }
  return 8 * a.byteLength
}
