/**
 * A *victim* that serves everything a daemon serves, an *honest* requester that has blocks converted by it over the real lease and task
 * protocols, and peers that attack it beside that. All in this process, over TCP on loopback.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Connection, PeerId } from '@libp2p/interface'
import { noop } from '../../../daemon/block-convert/probe/converters.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { silentLog } from '../../../daemon/log.ts'
import type { Network } from '../../../daemon/network/index.ts'
import { openBlockStore } from '../../../daemon/store/block-store.ts'
import { createTaskClient, createTaskServer, type TaskServer, type Worker } from '../../../daemon/task-protocol/index.ts'
import type { ServedConverters } from '../../../daemon/task-protocol/server-types.ts'
import { content, startNode, type NodeOptions, type TestNode } from '../registry/node.ts'
import { converters, fakeExecutor, offerOf, orderOf, Recorder, streamedOrder, text, type FakeExecutor } from '../task-protocol/harness.ts'

/** Milliseconds after which something awaited counts as not happening: far more than any of it takes on a busy machine. */
const WAIT_MS = 15_000

/** Bytes of the blocks that ride the lease, and of those with a stream of their own. */
const SMALL_BYTES = 4 << 10
const LARGE_BYTES = 200_000

/** Every so many orders, one is a large one. */
const LARGE_EVERY = 4

export interface Victim extends TestNode { server: TaskServer, executor: FakeExecutor }

interface Lane { worker: Worker, recorder: Recorder }

const served: ServedConverters = {
  find: (id, version) => id === noop.id && version === noop.version ? { runs: 'inline', validate: noop.validate } : converters.find(id, version)
}

/** `probe/noop` as it is; the rest as the harness has it. */
function inlineOf (others: FakeExecutor['runInline']): FakeExecutor['runInline'] {
  return (converter, parameters, input, signal) => {
    if (converter !== noop.id) return others(converter, parameters, input, signal)
    return { ok: true, output: noop.convertBytes(input, {}), units: 1, cpuMs: 0, wallMs: 0 }
  }
}

export class World implements AsyncDisposable {
  readonly victim: Victim
  readonly requester: TestNode
  readonly #stack: AsyncDisposableStack
  readonly #lanes: { small: Lane, large: Lane }
  #block = 0

  private constructor (victim: Victim, requester: TestNode, lanes: { small: Lane, large: Lane }, stack: AsyncDisposableStack) {
    this.victim = victim
    this.requester = requester
    this.#lanes = lanes
    this.#stack = stack
  }

  static async start (options: NodeOptions = {}): Promise<World> {
    await using stack = new AsyncDisposableStack()
    const node = stack.use(await startNode(options))
    const folder = await mkdtemp(join(tmpdir(), 'weft-hostile-'))
    stack.defer(async () => { await rm(folder, { recursive: true, force: true }) })
    const plain = await fakeExecutor(folder)
    const executor: FakeExecutor = Object.assign(plain, { runInline: inlineOf(plain.runInline) })
    const server = createTaskServer({ network: node.network, executor: executor as never, converters: served, identity: node.identity, loopDelay: { worst: () => 0 } as never, log: silentLog })
    await server.start()
    stack.defer(async () => { await server.stop() })
    await node.registry.publish(content())
    const requester = stack.use(await startNode({ bootstrap: [node.address] }))
    await until('the requester joins', () => requester.network.dhtPeers() > 0 && node.network.dhtPeers() > 0)
    let counter = 0
    const client = createTaskClient({ network: requester.network, store: await openBlockStore(join(folder, 'blocks')), identity: requester.identity, loopDelay: { worst: () => 0 } as never, log: silentLog, generation: { incarnation: 1, next: () => ++counter } })
    await client.start()
    stack.defer(async () => { await client.stop() })
    const attach = async (converter: string): Promise<Lane> => {
      const recorder = new Recorder()
      const answer = await client.attach(node.identity.peerId, offerOf(converter), recorder, { signal: AbortSignal.timeout(WAIT_MS) })
      if (!answer.ok) throw new Error(`the honest lease is refused: ${answer.message}`)
      return { worker: answer.worker, recorder }
    }
    const lanes = { small: await attach(noop.id), large: await attach('upper') }
    return new World(Object.assign(node, { server, executor }), requester, lanes, stack.move())
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#stack.disposeAsync()
  }

  /** Has `count` blocks converted by the victim, one after the other, each by inline order or on a stream of its own; all must succeed. */
  async work (count: number): Promise<void> {
    for (let done = 1; done <= count; done++) {
      const what = `honest order ${done} of ${count}`
      const block = this.#block++
      const large = done % LARGE_EVERY === 0
      const { worker, recorder } = large ? this.#lanes.large : this.#lanes.small
      const before = recorder.all.length
      const input = text(large ? LARGE_BYTES : SMALL_BYTES, 5 + block)
      worker.dispatch([large ? streamedOrder(block, input) : orderOf(block, input)])
      await within(what, recorder.until(() => recorder.all.length > before || recorder.lostReason != null))
      if (recorder.lostReason != null) throw new Error(`${what}: the lease was lost: ${recorder.lostReason}`)
      const [outcome] = recorder.all.slice(before)
      if (outcome?.ok !== true) throw new Error(`${what}: ${outcome?.reason ?? 'no outcome'}`)
    }
  }

  /** `work` beside an attack, which does at least what it has to and goes on while `more()`. */
  async during (count: number, attack: (more: () => boolean) => Promise<void>): Promise<void> {
    let working = true
    const attacking = attack(() => working)
    // What it throws is thrown below; until then it must not count as unhandled.
    attacking.catch(() => {})
    try {
      await this.work(count)
    } finally {
      working = false
    }
    await within('the attack', attacking)
  }

  /** Resolves once the requester's DHT knows the victim as a provider of this conversion. */
  async requesterHoldsKey (edge: { from: string, to: string }): Promise<void> {
    const key = await capabilityKey(edge)
    await until('the requester knows a provider', async () => {
      for await (const event of this.requester.network.libp2p.services.dht.findProviders(key, { signal: AbortSignal.timeout(WAIT_MS) })) if (event.name === 'PROVIDER') return true
      return false
    })
  }

  /** The victim answers who asks for its advert, and its DHT answers the requester. */
  async stillServes (): Promise<void> {
    const signal = AbortSignal.timeout(WAIT_MS)
    const view = await this.requester.registry.lookup(this.victim.identity.peerId, { signal })
    if (view?.source !== 'direct') throw new Error(`the victim's advert came by ${view?.source ?? 'no way'}`)
    for await (const event of this.requester.network.libp2p.services.dht.getClosestPeers(this.victim.identity.peerId.toMultihash().bytes, { signal })) {
      if (event.name === 'PEER_RESPONSE' && event.from.equals(this.victim.identity.peerId)) return
    }
    throw new Error('the DHT of the victim does not answer')
  }
}

export interface Held { providers: number, values: number, peers: number, addresses: number }

/** What a node has stored for others. */
export async function heldBy ({ libp2p }: Network): Promise<Held> {
  const { datastore } = (libp2p.services.dht as unknown as { components: { datastore: { queryKeys: (query: { prefix: string }) => AsyncIterable<{ toString: () => string }> } } }).components
  const held: Held = { providers: 0, values: 0, peers: 0, addresses: 0 }
  for await (const key of datastore.queryKeys({ prefix: '/dht' })) {
    if (key.toString().startsWith('/dht/provider/')) held.providers++
    else if (key.toString().startsWith('/dht/record/')) held.values++
  }
  for (const { id, addresses } of await libp2p.peerStore.all()) {
    if (id.equals(libp2p.peerId)) continue
    held.peers++
    held.addresses += addresses.length
  }
  return held
}

/** Streams of a node that come from one peer, by protocol. */
export function streamsFrom ({ libp2p }: Network, peer: PeerId): Map<string, number> {
  const counts = new Map<string, number>()
  for (const connection of libp2p.getConnections(peer)) {
    for (const stream of connection.streams) {
      if (stream.direction === 'inbound') counts.set(stream.protocol, (counts.get(stream.protocol) ?? 0) + 1)
    }
  }
  return counts
}

/** Bytes that wait in the streams a node has with one peer. */
export function queuedFor ({ libp2p }: Network, peer: PeerId): number {
  return libp2p.getConnections(peer).flatMap(({ streams }) => streams).reduce((sum, stream) => sum + stream.writeBufferLength + stream.readBufferLength, 0)
}

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Bytes this process holds that nothing will free, buffers outside the heap included. */
export async function memory (): Promise<number> {
  for (let i = 0; i < 2; i++) {
    gc()
    await new Promise(resolve => { setImmediate(resolve) })
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Resolves once `check` is true. */
export async function until (what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!await check()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${WAIT_MS} ms`)
    await sleep(5)
  }
}

export async function within<T> (what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => { reject(new Error(`${what}: not within ${WAIT_MS} ms`)) }, WAIT_MS)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export type { Connection }
