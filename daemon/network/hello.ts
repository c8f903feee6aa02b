/**
 * `hello/1.0.0`, first on every connection: who is there, on which network, for which operator. The dialler opens the
 * stream; both sides send their Hello at once and then their Verdict on the other's, which in a private network carries the proof of
 * its secret (proof.ts). A connection that does not pass within HELLO_TIMEOUT_MS is closed.
 */
import { randomBytes } from 'node:crypto'
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import { TypedEventEmitter } from 'main-event'
import type { Log } from '../log.ts'
import { verifyDelegation, type Identity } from '../trust/index.ts'
import { BYTES_BEFORE_HELLO_MAX, CLOSE_TIMEOUT_MS, HELLO_BYTES_MAX, HELLO_NONCE_BYTES, HELLO_STREAMS_MAX, HELLO_TIMEOUT_MS, HELLO_VERSION, PEER_CONNECTIONS_MAX, REFUSAL_HEARD_MS, STREAMS_BEFORE_HELLO_MAX } from './constants.ts'
import { HelloError } from './errors.ts'
import { messagesOf, type Messages } from './framing.ts'
import type { NetworkEvents, PeerGreeted } from './index.ts'
import { proofOf, proves } from './proof.ts'
import { pause } from './wait.ts'
import { decodeHello, decodeVerdict, encodeHello, encodeVerdict, VERDICT, type Hello, type HelloInfo, type VerdictName } from './messages.ts'

export interface HelloComponents {
  libp2p: Pick<Libp2p, 'handle' | 'unhandle' | 'addEventListener' | 'removeEventListener' | 'getConnections'>
  identity: Pick<Identity, 'delegation' | 'peerId'>
  log: Log
}

export interface HelloInit {
  protocol: string
  network: string
  agent: string
  roles: string[]
  /** SECRET_BYTES that members of a private network prove to know. @default none: the network is open */
  secret?: Uint8Array
  /** @default HELLO_TIMEOUT_MS */
  timeoutMs?: number
  /** UTC milliseconds. @default Date.now */
  now?: () => number
  /** Why this peer, acting for this operator (a did:key), is not talked to. @default everybody is */
  refusal?: (peer: string, operator: string) => string | undefined
  /** Called when a connection passed. */
  passed?: (connection: Connection) => void
  /** Called when a connection did not pass and is about to be closed. */
  failed?: (peer: PeerId, reason: Error) => void
}

interface State {
  connection: Connection
  greeting: PromiseWithResolvers<PeerGreeted>
  greeted?: PeerGreeted
  /** A hello stream was opened or accepted. */
  begun: boolean
  /** It did not pass; the connection is being closed. */
  failed: boolean
  /** What this side found wrong, once it is said. */
  refusal?: HelloError
  /** Handlers of other protocols that wait for the end of hello. */
  waiting: number
  timer: NodeJS.Timeout
  ended: AbortController
  /** Ends the counting of bytes. */
  uncount: () => void
}

export class HelloService extends TypedEventEmitter<NetworkEvents> {
  readonly #components: HelloComponents
  readonly #init: HelloInit
  readonly #states = new Map<string, State>()
  /** Greeted connections of each peer, oldest first. */
  readonly #peers = new Map<string, PeerGreeted[]>()

  constructor (components: HelloComponents, init: HelloInit) {
    super()
    this.#components = components
    this.#init = init
  }

  /** Call before libp2p listens, so that no connection is missed. */
  async start (): Promise<void> {
    const { libp2p } = this.#components
    libp2p.addEventListener('connection:open', this.#onOpen)
    libp2p.addEventListener('connection:close', this.#onClose)
    await libp2p.handle(this.#init.protocol, this.#onStream, { maxInboundStreams: HELLO_STREAMS_MAX, maxOutboundStreams: HELLO_STREAMS_MAX })
    for (const connection of libp2p.getConnections()) this.#track(connection)
  }

  /** Call once libp2p stopped. */
  async stop (): Promise<void> {
    const { libp2p } = this.#components
    libp2p.removeEventListener('connection:open', this.#onOpen)
    libp2p.removeEventListener('connection:close', this.#onClose)
    await libp2p.unhandle(this.#init.protocol)
    for (const state of this.#states.values()) this.#forget(state)
  }

  isGreeted (connection: Connection): boolean {
    return this.#states.get(connection.id)?.greeted != null
  }

  /**
   * Resolves when the connection passed hello.
   *
   * @throws HelloError if it did not, or is closed, or too many already wait
   */
  async greeted (connection: Connection): Promise<PeerGreeted> {
    const state = this.#states.get(connection.id) ?? (connection.status === 'open' ? this.#track(connection) : undefined)
    if (state == null) throw new HelloError('closed', `the connection to ${connection.remotePeer.toString()} is closed`)
    if (state.greeted != null) return state.greeted
    if (state.waiting >= STREAMS_BEFORE_HELLO_MAX) throw new HelloError('timeout', `${STREAMS_BEFORE_HELLO_MAX} streams already wait for hello`)
    state.waiting++
    try {
      return await state.greeting.promise
    } finally {
      state.waiting--
    }
  }

  peers (): PeerGreeted[] {
    return [...this.#peers.values()].flatMap(list => list.slice(0, 1))
  }

  /** Every greeted connection. */
  greetings (): PeerGreeted[] {
    return [...this.#peers.values()].flat()
  }

  peer (peer: PeerId): PeerGreeted | undefined {
    return this.#peers.get(peer.toString())?.find(({ connection }) => connection.status === 'open')
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => { this.#track(connection) }

  readonly #onClose = ({ detail: connection }: CustomEvent<Connection>): void => {
    const state = this.#states.get(connection.id)
    if (state == null) return
    this.#states.delete(connection.id)
    this.#forget(state)
    if (state.greeted == null) return
    const peer = connection.remotePeer
    const left = (this.#peers.get(peer.toString()) ?? []).filter(greeted => greeted.connection !== connection)
    if (left.length > 0) {
      this.#peers.set(peer.toString(), left)
    } else {
      this.#peers.delete(peer.toString())
      this.safeDispatchEvent('gone', { detail: { peer } })
    }
  }

  /** Ends what waits on a connection. */
  #forget (state: State): void {
    clearTimeout(state.timer)
    state.uncount()
    const reason = state.refusal ?? new HelloError('closed', `the connection to ${state.connection.remotePeer.toString()} closed before hello ended`)
    if (state.refusal != null && !state.failed) this.#init.failed?.(state.connection.remotePeer, reason)
    state.ended.abort(reason)
    state.greeting.reject(reason)
  }

  #track (connection: Connection): State {
    const existing = this.#states.get(connection.id)
    if (existing != null) return existing
    const state: State = {
      connection,
      greeting: Promise.withResolvers(),
      begun: false,
      failed: false,
      waiting: 0,
      timer: setTimeout(() => { this.#fail(state, new HelloError('timeout', `no hello within ${this.#init.timeoutMs ?? HELLO_TIMEOUT_MS} ms`)) }, this.#init.timeoutMs ?? HELLO_TIMEOUT_MS),
      ended: new AbortController(),
      uncount: countBytes(connection, BYTES_BEFORE_HELLO_MAX, () => { this.#fail(state, new HelloError('malformed', `more than ${BYTES_BEFORE_HELLO_MAX} bytes before hello`)) })
    }
    state.timer.unref()
    // A connection nobody waits for may fail: the failure is logged where it happens.
    state.greeting.promise.catch(() => {})
    this.#states.set(connection.id, state)
    if (connection.direction === 'outbound') {
      state.begun = true
      this.#initiate(state).catch(error => { this.#fail(state, error) })
    } else if (this.#inbound(connection.remotePeer) > PEER_CONNECTIONS_MAX) {
      this.#fail(state, new HelloError('limit', `more than ${PEER_CONNECTIONS_MAX} connections of ${connection.remotePeer.toString()}`))
    }
    return state
  }

  /** Inbound connections of a peer. */
  #inbound (peer: PeerId): number {
    let count = 0
    for (const { connection } of this.#states.values()) if (connection.direction === 'inbound' && connection.remotePeer.equals(peer)) count++
    return count
  }

  async #initiate (state: State): Promise<void> {
    let stream: Stream
    try {
      stream = await state.connection.newStream(this.#init.protocol, { signal: state.ended.signal })
    } catch (error) {
      if ((error as Error).name !== 'UnsupportedProtocolError') throw error
      throw new HelloError('unsupported', `no member of network ${this.#init.network}`, { cause: error })
    }
    await this.#exchange(state, stream)
  }

  readonly #onStream = async (stream: Stream, connection: Connection): Promise<void> => {
    const state = this.#track(connection)
    if (state.begun || state.failed) {
      stream.abort(new HelloError('duplicate', 'hello is said once per connection'))
      return
    }
    state.begun = true
    try {
      await this.#exchange(state, stream)
    } catch (error) {
      this.#fail(state, error as Error)
    }
  }

  async #exchange (state: State, stream: Stream): Promise<void> {
    const signal = state.ended.signal
    const messages = messagesOf(stream, HELLO_BYTES_MAX)
    const peer = state.connection.remotePeer
    const own = this.#ownHello()
    await messages.write(encodeHello(own), { signal })
    const [judged, info, nonce] = await this.#judge(await messages.read({ signal }), peer)
    await messages.write(encodeVerdict({ ...verdictOf(judged), proof: nonce == null ? new Uint8Array() : this.#proof(peer, own.nonce, nonce) }), { signal })
    if (judged != null) {
      state.refusal = judged
      await stream.close({ signal })
      await this.#heard(messages, signal)
      throw judged
    }
    const answer = decodeVerdict(await messages.read({ signal }))
    if (answer.code !== VERDICT.ok) throw new HelloError('refused', `refused by ${state.connection.remotePeer.toString()}: ${answer.reason === '' ? `code ${answer.code}` : answer.reason}`)
    if (!this.#isProved(answer.proof, peer, own.nonce, nonce as Uint8Array)) {
      const error = new HelloError('secret', `${peer.toString()} does not know the secret of network ${this.#init.network}`)
      stream.abort(error)
      throw error
    }
    this.#pass(state, info as HelloInfo)
    await stream.close({ signal })
  }

  /** Gives a refused peer time to read why: it closes the connection when it did, unless it refuses this node too. Never rejects. */
  async #heard (messages: Messages, signal: AbortSignal): Promise<void> {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(REFUSAL_HEARD_MS)])
      if (decodeVerdict(await messages.read({ signal: limit })).code === VERDICT.ok) await pause(REFUSAL_HEARD_MS, limit)
    } catch {
      // What we found wrong is what is reported.
    }
  }

  #ownHello (): Hello {
    const { network, agent, roles } = this.#init
    return { version: HELLO_VERSION, network, agent, roles, nonce: randomBytes(HELLO_NONCE_BYTES), delegation: this.#components.identity.delegation }
  }

  /** What is wrong with a peer's hello, or what it said. */
  async #judge (bytes: Uint8Array, peer: PeerId): Promise<[error: HelloError] | [error: undefined, info: HelloInfo, nonce: Uint8Array]> {
    try {
      const hello = decodeHello(bytes)
      if (hello.version !== HELLO_VERSION) throw new HelloError('version', `hello version ${hello.version}, this node speaks ${HELLO_VERSION}`)
      if (hello.network !== this.#init.network) throw new HelloError('network', `member of network ${hello.network}, not ${this.#init.network}`)
      const { operator } = await this.#delegation(hello.delegation, peer)
      const refusal = this.#init.refusal?.(peer.toString(), operator)
      if (refusal != null) throw new HelloError('access', refusal)
      return [undefined, { version: hello.version, agent: hello.agent, network: hello.network, roles: hello.roles, operator, delegation: hello.delegation }, hello.nonce]
    } catch (error) {
      if (error instanceof HelloError) return [error]
      throw error
    }
  }

  /** Ours, for a peer whose hello was good; nothing in an open network. */
  #proof (peer: PeerId, ownNonce: Uint8Array, peerNonce: Uint8Array): Uint8Array {
    const { secret, network } = this.#init
    if (secret == null) return new Uint8Array()
    return proofOf(secret, { network, prover: this.#components.identity.peerId.toString(), verifier: peer.toString(), proverNonce: ownNonce, verifierNonce: peerNonce })
  }

  #isProved (proof: Uint8Array, peer: PeerId, ownNonce: Uint8Array, peerNonce: Uint8Array): boolean {
    const { secret, network } = this.#init
    if (secret == null) return true
    return proves(proof, secret, { network, prover: peer.toString(), verifier: this.#components.identity.peerId.toString(), proverNonce: peerNonce, verifierNonce: ownNonce })
  }

  async #delegation (bytes: Uint8Array, peer: PeerId): Promise<{ operator: string }> {
    try {
      return await verifyDelegation(bytes, peer, this.#init.now?.() ?? Date.now())
    } catch (error) {
      throw new HelloError('delegation', `no valid delegation: ${(error as Error).message}`, { cause: error })
    }
  }

  #pass (state: State, hello: HelloInfo): void {
    const { connection } = state
    if (state.failed || !this.#states.has(connection.id)) return
    // Who was let in when it said hello may have been banned since: it decides how long it takes to answer.
    const refusal = this.#init.refusal?.(connection.remotePeer.toString(), hello.operator)
    if (refusal != null) {
      this.#fail(state, new HelloError('access', refusal))
      return
    }
    clearTimeout(state.timer)
    state.uncount()
    const greeted: PeerGreeted = { peer: connection.remotePeer, connection, hello }
    state.greeted = greeted
    this.#init.passed?.(connection)
    state.greeting.resolve(greeted)
    const key = connection.remotePeer.toString()
    const others = this.#peers.get(key)
    if (others != null) {
      others.push(greeted)
      return
    }
    this.#peers.set(key, [greeted])
    this.#components.log.debug({ peer: key, agent: hello.agent, operator: hello.operator }, 'peer greeted')
    this.safeDispatchEvent('peer', { detail: greeted })
  }

  #fail (state: State, reason: unknown): void {
    const { connection } = state
    // It passed, and only the closing of the hello stream failed; or it failed before, and this follows from that.
    if (state.greeted != null || state.failed) return
    state.failed = true
    const error = reason instanceof Error ? reason : new HelloError('closed', String(reason))
    clearTimeout(state.timer)
    state.uncount()
    state.greeting.reject(error)
    state.ended.abort(error)
    if (!this.#states.has(connection.id)) return
    this.#components.log.debug({ peer: connection.remotePeer.toString(), reason: error.message }, 'connection closed without hello')
    this.#init.failed?.(connection.remotePeer, error)
    connection.close({ signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(cause => { connection.abort(cause) })
  }
}

/** Calls `exceeded` once the raw connection received more than `max` bytes; returns what ends the counting. */
function countBytes (connection: Connection, max: number, exceeded: () => void): () => void {
  // The raw connection is no published member; without it the other limits hold.
  const { maConn } = connection as unknown as { maConn?: EventTarget }
  if (maConn == null) return () => {}
  let received = 0
  const onMessage = (event: Event): void => {
    received += (event as Event & { data: Uint8Array }).data.byteLength
    if (received <= max) return
    end()
    exceeded()
  }
  const end = (): void => { maConn.removeEventListener('message', onMessage) }
  maConn.addEventListener('message', onMessage)
  return end
}

function verdictOf (error: HelloError | undefined): { code: number, reason: string } {
  if (error == null) return { code: VERDICT.ok, reason: '' }
  const name: VerdictName = error.code in VERDICT ? error.code as VerdictName : 'malformed'
  return { code: VERDICT[name], reason: error.message }
}
