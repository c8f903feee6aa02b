/**
 * The composition root: configuration in, a running node out. The only file that names every concrete class. Whatever it
 * starts is stopped in reverse; one AbortSignal says that the node is to end.
 *
 * @example
 * ```ts
 * const { config, dataDir } = await loadConfig({})
 * await using node = await createNode({ config, dataDir, log: createLog(config.log.level) })
 * await node.start()
 * await once(node.closing, 'abort')
 * ```
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Announcements, kindsOf, knownThroughput } from './announcements.ts'
import { createToolbox, converterById, listConverters, removePartials } from './block-convert/index.ts'
import { isWithin, offers, parseHours, TEST_NETWORK_PREFIX, type Config } from './config/index.ts'
import { createCoordinator, createLocalWorker, createWorkerSource } from './coordinator/index.ts'
import { advertSelectors, advertValidators, createRegistry, openFloors } from './dht-registry/index.ts'
import { examine } from './doctor.ts'
import { createExecutor, selfMeasure, withFaults, withThroughput } from './executor/index.ts'
import { ApiError, createGateway, type NodeApi, type NodeStatus } from './gateway/index.ts'
import { createLoopDelay } from './health/index.ts'
import type { Log } from './log.ts'
import { createPriceGossip } from './market/index.ts'
import { createDialback, createNetwork } from './network/index.ts'
import { createNodeApi } from './node-api.ts'
import { openDataDir, type DataDir } from './store/index.ts'
import type { PeerId } from '@libp2p/interface'
import { createTaskClient, createTaskServer, type Refusal } from './task-protocol/index.ts'
import { loadOrCreateIdentity } from './trust/index.ts'

/** Milliseconds after which a peer that came outside this node's hours may ask again. */
const HOURS_RETRY_MS = 60_000

export const VERSION = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version

export interface NodeOptions {
  config: Config
  /** Absolute path. */
  dataDir: string
  /** For one command only: a DHT client that offers no work and has no HTTP API. @default false */
  embedded?: boolean
  log: Log
}

export interface WeftNode extends AsyncDisposable {
  readonly api: NodeApi
  /** Fires when the node was asked to end (`POST /shutdown`); the owner then drains and stops it. */
  readonly closing: AbortSignal
  start: () => Promise<void>
  /** Takes no more work from others and no new jobs; resolves when what runs for others is done, rejects when the signal fires. */
  drain: (options: { signal: AbortSignal }) => Promise<void>
  stop: () => Promise<void>
}

/**
 * Opens the data directory (and holds its lock until `stop`), but reaches out to nobody before `start`.
 *
 * @throws DataDirLockedError, DataDirVersionError, DataDirError, NetworkConfigError, IdentityError
 */
export async function createNode (options: NodeOptions): Promise<WeftNode> {
  const dir = await openDataDir(options.dataDir)
  try {
    return await compose(options, dir)
  } catch (error) {
    await dir.close()
    throw error
  }
}

async function compose ({ config, embedded = false, log }: NodeOptions, dir: DataDir): Promise<WeftNode> {
  const testNetwork = config.network.startsWith(TEST_NETWORK_PREFIX)
  const identity = await loadOrCreateIdentity(dir, testNetwork && config.test.seed !== '' ? { seed: Buffer.from(config.test.seed), network: config.network } : { network: config.network })
  const generation = await nextIncarnation(dir)
  const works = config.policy.accept && !embedded

  const loopDelay = createLoopDelay()
  const toolbox = createToolbox({ scratch: dir.scratch })
  const { slots, sandbox, memoryBytes, stallMs, wallMs } = config.executor
  const limits = Object.fromEntries(Object.entries({ memoryBytes, stallMs, wallMs }).filter(([, value]) => value != null))
  const plain = createExecutor({ scratch: join(dir.scratch, 'engines') }, { sandbox, limits, ...(slots == null ? {} : { slots }) })
  const honest = testNetwork && config.test.faults.length > 0 ? withFaults(plain, config.test.faults, config.test.seed === '' ? Math.random : seededRandom(config.test.seed)) : plain
  const executor = withThroughput(honest, await knownThroughput(dir))

  const mdns = config.discovery.mdns === 'on' || (config.discovery.mdns === 'auto' && config.secret !== '')
  const floors = await openFloors({ db: dir.db })
  const network = await createNetwork({
    identity,
    config: { name: config.network, ...(config.secret === '' ? {} : { secret: Buffer.from(config.secret, 'base64url') }), listen: embedded ? [] : config.listen, announce: embedded ? [] : config.announce, bootstrap: config.bootstrap, dhtMode: embedded ? 'client' : config.dht.mode, mdns, allow: config.peers.allow, deny: config.peers.deny, roles: works ? ['worker', 'requester'] : ['requester'], agent: `weft/${VERSION}` },
    log: log.child({ module: 'network' }),
    db: dir.db,
    validators: advertValidators({ network: config.network, floors }),
    selectors: advertSelectors()
  })
  const registry = createRegistry({ network, identity, db: dir.db, floors, log: log.child({ module: 'registry' }) })

  const gossip = createPriceGossip({ network, identity, db: dir.db, families: kindsOf(listConverters()), log: log.child({ module: 'market' }) })
  gossip.events.addEventListener('bulletin', ({ detail: { peerId: peer, ...said } }) => { registry.observe({ ...said, peer }) })
  const announcements = new Announcements({ registry, gossip, executor, loopDelay, dir, log }, { config, works, draining: () => state === 'draining' || state === 'stopping' })

  /** Proved in hello. */
  const operatorOf = (peer: PeerId): string | undefined => network.peers().find(greeted => greeted.peer.equals(peer))?.hello.operator
  const trusted = (peer: PeerId, operator: string | undefined): boolean =>
    config.trust.everyone || config.secret !== '' || config.trust.peers.includes(peer.toString()) || (operator != null && config.trust.peers.includes(operator))
  const hours = config.policy.hours.flatMap(text => parseHours(text) ?? [])
  const outOfHours = (): Refusal | undefined => isWithin(hours, Date.now()) ? undefined : { reason: 'policy', message: `this node takes work at ${config.policy.hours.join(', ')} (UTC)`, retryAfterMs: HOURS_RETRY_MS }
  const taskLog = log.child({ module: 'task-protocol' })
  const client = createTaskClient({ network, store: dir.blocks, identity, loopDelay, generation, log: taskLog, discard: stored => { coordinator.abandon(stored) } })
  const server = works
    ? createTaskServer({
      network,
      executor,
      identity,
      loopDelay,
      log: taskLog,
      converters: { find: (id, version) => offers(config, id) ? converterById(id, version) : undefined },
      policy: {
        lease: peer => trusted(peer, operatorOf(peer)) ? outOfHours() : { reason: 'policy', message: 'this node works for the peers of its trust.peers only', retryAfterMs: 0 },
        offer: (_peer, { price, unit }) => config.policy.minPrice === '0' || (unit === announcements.posted.unit && BigInt(price) >= BigInt(config.policy.minPrice)) ? outOfHours() : { reason: 'policy', message: `this node asks for at least ${config.policy.minPrice} micro${announcements.posted.unit} per resource hour`, retryAfterMs: 0 }
      }
    }, { maxLeases: config.policy.maxLeases })
    : undefined
  const coordinator = createCoordinator({
    toolbox,
    store: dir,
    removePartials,
    workers: createWorkerSource({
      registry,
      client,
      self: identity.peerId.toString(),
      local: (offer, events) => createLocalWorker({ executor, toolbox, blocks: dir.blocks }, offer, events),
      operatorOf,
      distrusted: ({ peer }, operator) => trusted(peer, operator) ? undefined : 'not among trust.peers, and the network is open (trust.everyone is not set)',
      log: log.child({ module: 'coordinator' })
    }),
    log: log.child({ module: 'coordinator' })
  }, { priceUnit: () => announcements.posted.unit })

  const dialback = createDialback(network, log.child({ module: 'network' }))
  const settings = { works, privateNetwork: config.secret !== '', mdns, bootstrap: config.bootstrap, sandbox: config.executor.sandbox }

  const closing = new AbortController()
  let state: NodeStatus['state'] = 'starting'
  const token = randomBytes(32).toString('hex')
  const api = createNodeApi({
    identity,
    network,
    registry,
    executor,
    server,
    coordinator,
    offered: id => offers(config, id),
    version: VERSION,
    dataDir: dir.path,
    apiUrl: () => gateway?.url ?? '',
    state: () => state,
    gossip,
    posted: () => announcements.posted,
    setPrice: async (price, unit = announcements.posted.unit) => {
      if (unit === config.prices.unit && BigInt(price) < BigInt(config.policy.minPrice)) throw new ApiError(422, 'below-minimum', `this node takes no work for less than ${config.policy.minPrice} micro${unit} per resource hour (policy.minPrice): post at least that, or lower it`)
      await announcements.setPrice(price, unit)
    },
    doctor: async ({ signal }) => await examine({ status: () => api.status(), network, registry, dialback, loopDelay, settings }, { signal }),
    shutdown: () => { closing.abort() }
  })
  const gateway = embedded
    ? undefined
    : createGateway({ node: api, log: log.child({ module: 'gateway' }) }, { ...config.api, token, uploads: join(dir.scratch, 'uploads') })

  const running = new AsyncDisposableStack()
  running.defer(() => dir.close())
  running.defer(() => toolbox.close())
  let stopping: Promise<void> | undefined
  const started = async (part: { start: () => unknown, stop: () => unknown }): Promise<void> => {
    // Deferred before the start: a part that failed half-way is stopped, too.
    running.defer(async () => { await part.stop() })
    await part.start()
  }

  async function start (): Promise<void> {
    await started(loopDelay)
    await started(executor)
    await started(network)
    await started(registry)
    await started(gossip)
    await started(dialback)
    await started(client)
    if (server != null) await started(server)
    await started(coordinator)
    if (gateway != null) {
      await started(gateway)
      await dir.writeSecret('token', token)
      await dir.writeSecret('api', `${gateway.url}\n`)
      running.defer(async () => {
        await dir.removeFile('api')
        await dir.removeFile('token')
      })
    }
    await started(announcements)
    state = 'ready'
    log.info({ peer: identity.peerId.toString(), network: config.network, addresses: network.libp2p.getMultiaddrs().map(String), api: gateway?.url }, 'ready')
    if (works && (config.executor.selfMeasure === 'on' || (config.executor.selfMeasure === 'auto' && !testNetwork))) measure()
  }

  /** In the background, and given up when the node stops. */
  function measure (): void {
    const ending = new AbortController()
    const done = selfMeasure({ toolbox, executor: honest, measured: executor, log }, announcements.offered.filter(({ id }) => !id.startsWith('probe/')), { signal: ending.signal })
      .then(async count => {
        if (count === 0 || ending.signal.aborted) return
        await announcements.save()
        await announcements.tell()
        log.info({ converters: count }, 'measured how fast this machine converts')
      })
      .catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'how fast this machine converts could not be measured') })
    running.defer(async () => {
      ending.abort()
      await done
    })
  }

  async function drain ({ signal }: { signal: AbortSignal }): Promise<void> {
    if (state === 'stopping') return
    state = 'draining'
    await announcements.tell()
    await server?.drain({ signal })
  }

  async function stop (): Promise<void> {
    stopping ??= (async () => {
      state = 'stopping'
      await running.disposeAsync()
    })()
    await stopping
  }

  return { api, closing: closing.signal, start, drain, stop, [Symbol.asyncDispose]: stop }
}

/** For planted faults: a test network of the same seed draws the same lies. */
function seededRandom (seed: string): () => number {
  let drawn = 0
  return () => createHash('sha256').update(`weft/faults/${seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32
}

/** Orders of an earlier run of this node are older than any of this one: the number is durable before the first lease. */
async function nextIncarnation (dir: DataDir): Promise<{ incarnation: number, next: () => number }> {
  const before = await dir.db.get('node/incarnation')
  const incarnation = before == null ? 1 : Number(Buffer.from(before).toString()) + 1
  await dir.db.put('node/incarnation', Buffer.from(String(incarnation)), { sync: true } as never)
  let counter = 0
  return { incarnation, next: () => ++counter }
}
