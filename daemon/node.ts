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
import { faultValue, isWithin, offers, parseHours, TEST_NETWORK_PREFIX, type Config } from './config/index.ts'
import { createCoordinator, createLocalWorker, createWorkerSource } from './coordinator/index.ts'
import { advertSelectors, advertValidators, createRegistry, openFloors } from './dht-registry/index.ts'
import { examine } from './doctor.ts'
import { createAvailability, createExecutor, NICENESS, selfMeasure, withFaults, withThroughput } from './executor/index.ts'
import { ApiError, createGateway, type NodeApi, type NodeStatus } from './gateway/index.ts'
import { createLoopDelay, createMonitor } from './health/index.ts'
import type { Log } from './log.ts'
import { createPriceGossip } from './market/index.ts'
import { createDialback, createLinks, createNetwork } from './network/index.ts'
import { createNodeApi } from './node-api.ts'
import { openDataDir, type DataDir } from './store/index.ts'
import type { PeerId } from '@libp2p/interface'
import { createTaskClient, createTaskServer } from './task-protocol/index.ts'
import { loadOrCreateIdentity } from './trust/index.ts'

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
  /**
   * Takes no more work from others and no new jobs; what still runs for others after `deadlineMs` is handed back. Resolves when nothing of others is
   * left, rejects when the signal fires.
   */
  drain: (options: { signal: AbortSignal, deadlineMs?: number }) => Promise<void>
  stop: () => Promise<void>
}

/**
 * Opens the data directory (and holds its lock until `stop`), but reaches out to nobody before `start`.
 *
 * @throws DataDirLockedError, DataDirVersionError, DataDirError, NetworkConfigError, IdentityError
 */
export async function createNode (options: NodeOptions): Promise<WeftNode> {
  const dir = await openDataDir(options.dataDir, { ...options.config.store, log: options.log.child({ module: 'store' }) })
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
  const monitor = createMonitor({ loopDelay, log: log.child({ module: 'health' }) }, { listen: embedded ? [] : config.listen, ...config.liveness })
  const toolbox = createToolbox({ scratch: dir.scratch })
  const { slots, sandbox, memoryBytes, stallMs, wallMs } = config.executor
  const limits = Object.fromEntries(Object.entries({ memoryBytes, stallMs, wallMs }).filter(([, value]) => value != null))
  const plain = createExecutor({ scratch: join(dir.scratch, 'engines') }, { sandbox, limits, ...(slots == null ? {} : { slots }), niceness: config.policy.cpuShare < 1 || config.policy.idleOnly ? NICENESS : 0 })
  const honest = testNetwork && config.test.faults.length > 0 ? withFaults(plain, config.test.faults, config.test.seed === '' ? Math.random : seededRandom(config.test.seed), () => { for (const connection of network.libp2p.getConnections()) connection.abort(new Error('a planted fault drops every connection')) }) : plain
  const executor = withThroughput(honest, await knownThroughput(dir))

  const mdns = config.discovery.mdns === 'on' || (config.discovery.mdns === 'auto' && config.secret !== '')
  const floors = await openFloors({ db: dir.db })
  const links = testNetwork ? createLinks({ folder: dir.path, log: log.child({ module: 'network' }) }) : undefined
  links?.subscribe(faults => { monitor.setFaults(faults) })
  const network = await createNetwork({
    ...(links == null ? {} : { links }),
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
  const announcements = new Announcements({ registry, gossip, executor, loopDelay, dir, log }, { config, works, draining: () => state !== 'starting' && state !== 'ready' || availability.current.slots === 0 })

  /** Proved in hello. */
  const operatorOf = (peer: PeerId): string | undefined => network.peers().find(greeted => greeted.peer.equals(peer))?.hello.operator
  const trusted = (peer: PeerId, operator: string | undefined): boolean =>
    config.trust.everyone || config.secret !== '' || config.trust.peers.includes(peer.toString()) || (operator != null && config.trust.peers.includes(operator))
  const hours = config.policy.hours.flatMap(text => parseHours(text) ?? [])
  const taskLog = log.child({ module: 'task-protocol' })
  const client = createTaskClient({ network, store: dir.blocks, identity, loopDelay, monitor, generation, log: taskLog, discard: stored => { coordinator.abandon(stored) } })
  const overprice = once(() => {
    const factor = testNetwork ? faultValue(config.test.faults, 'overprice', '10') : undefined
    if (factor == null) return
    const raised = BigInt(Math.ceil(Math.max(Number(announcements.posted.price), 1) * Number(factor)))
    announcements.setPrice(String(raised)).catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'the planted price could not be told') })
  })
  const server = works
    ? createTaskServer({
      network,
      executor,
      identity,
      loopDelay,
      monitor,
      log: taskLog,
      converters: { find: (id, version) => offers(config, id) ? converterById(id, version) : undefined },
      policy: {
        lease: peer => trusted(peer, operatorOf(peer)) ? undefined : { reason: 'policy', message: 'this node works for the peers of its trust.peers only', retryAfterMs: 0 },
        offer: (_peer, { price, unit }) => overprice() ?? (config.policy.minPrice === '0' || (unit === announcements.posted.unit && BigInt(price) >= BigInt(config.policy.minPrice)) ? undefined : { reason: 'policy', message: `this node asks for at least ${config.policy.minPrice} micro${announcements.posted.unit} per resource hour`, retryAfterMs: 0 })
      }
    }, { maxLeases: config.policy.maxLeases })
    : undefined
  const { cpuShare, idleOnly, battery } = config.policy
  const availability = createAvailability({
    executor,
    changed: now => {
      server?.setAvailability({ slots: now.slots, paused: now.paused, ...(now.reason == null ? {} : { reason: now.reason }) })
      if (state !== 'starting') tellState()
    },
    log
  }, { always: !works || (cpuShare === 1 && !idleOnly && battery === 'any' && hours.length === 0), cpuShare, idleOnly, battery, open: utc => isWithin(hours, utc) })
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
  }, { priceUnit: () => announcements.posted.unit, hedgeShare: config.hedging.share, embedded })

  const dialback = createDialback(network, log.child({ module: 'network' }))
  const settings = { works, privateNetwork: config.secret !== '', mdns, bootstrap: config.bootstrap, sandbox: config.executor.sandbox }

  const closing = new AbortController()
  let state: NodeStatus['state'] = 'starting'
  /** It was asked to end: no new jobs, either. */
  let ending = false
  /** Ends the wait of a drain that another one, or a resumption, follows. */
  let drained = new AbortController()
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
    takesJobs: () => !ending && state !== 'starting' && state !== 'stopping',
    availability: () => works ? availability.current : undefined,
    drain: beginDrain,
    resumeWork,
    gossip,
    posted: () => announcements.posted,
    setPrice: async (price, unit = announcements.posted.unit) => {
      if (unit === config.prices.unit && BigInt(price) < BigInt(config.policy.minPrice)) throw new ApiError(422, 'below-minimum', `this node takes no work for less than ${config.policy.minPrice} micro${unit} per resource hour (policy.minPrice): post at least that, or lower it`)
      await announcements.setPrice(price, unit)
    },
    doctor: async ({ signal }) => await examine({ status: () => api.status(), network, registry, dialback, loopDelay, monitor, blocks: dir.blocks, converters: () => listConverters().map(({ id }) => ({ id, offered: offers(config, id) })), settings }, { signal }),
    shutdown: () => { closing.abort() }
  })
  const gateway = embedded
    ? undefined
    : createGateway({ node: api, log: log.child({ module: 'gateway' }) }, { ...config.api, token, uploads: join(dir.path, 'uploads') })

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
    await started(monitor)
    await started(executor)
    if (links != null) await started(links)
    await started(network)
    await started(registry)
    await started(gossip)
    await started(dialback)
    await started(client)
    await started(availability)
    if (server != null) await started(server)
    await started(coordinator)
    if (gateway != null) {
      // Before it is asked for: who finds the port of an earlier run answering must not be refused for that run's token.
      await dir.writeSecret('token', token)
      await started(gateway)
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

  /** What this node tells of itself has changed. */
  function tellState (): void {
    announcements.tell().catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'that this node takes more or less work could not be told') })
  }

  function refuseWhenEnding (): void {
    if (ending || state === 'starting' || state === 'stopping') throw new ApiError(503, 'interrupted', `the node is ${state === 'starting' ? 'starting' : 'about to stop'}`)
  }

  function beginDrain ({ deadlineMs }: { deadlineMs: number }): void {
    refuseWhenEnding()
    drained.abort()
    drained = new AbortController()
    const { signal } = drained
    state = 'draining'
    tellState()
    // rejects when the signal fires only: then somebody else has set the state
    void (server?.drain({ signal, deadlineMs }) ?? Promise.resolve()).then(() => { if (!signal.aborted) state = 'drained' }, () => {})
  }

  function resumeWork (): void {
    refuseWhenEnding()
    drained.abort()
    state = 'ready'
    server?.resume()
    tellState()
  }

  async function drain ({ signal, deadlineMs }: { signal: AbortSignal, deadlineMs?: number }): Promise<void> {
    if (state === 'stopping') return
    ending = true
    drained.abort()
    state = 'draining'
    // what is at work gets its time even where telling fails, say on a full disk
    const told = announcements.tell().catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'that this node stops could not be told') })
    await Promise.all([told, server?.drain({ signal, ...(deadlineMs == null ? {} : { deadlineMs }) })])
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

/** Does it at the first call only. */
function once (act: () => void): () => undefined {
  let done = false
  return () => {
    if (!done) act()
    done = true
  }
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
