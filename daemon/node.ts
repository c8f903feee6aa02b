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
import { statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { createToolbox, converterById, listConverters, removePartials } from './block-convert/index.ts'
import { offers, TEST_NETWORK_PREFIX, type Config } from './config/index.ts'
import { createCoordinator, createLocalWorker, createWorkerSource } from './coordinator/index.ts'
import { advertSelectors, advertValidators, createRegistry, openFloors, type AdvertContent } from './dht-registry/index.ts'
import { createExecutor, withFaults, withThroughput } from './executor/index.ts'
import { createGateway, type NodeApi, type NodeStatus } from './gateway/index.ts'
import { createLoopDelay } from './health/index.ts'
import type { Log } from './log.ts'
import { createNetwork } from './network/index.ts'
import { createNodeApi } from './node-api.ts'
import { openDataDir, type DataDir } from './store/index.ts'
import { createTaskClient, createTaskServer } from './task-protocol/index.ts'
import { loadOrCreateIdentity } from './trust/index.ts'

/** Milliseconds between two looks whether measured throughput changed enough to be told to others. */
const ADVERT_REFRESH_MS = 60_000

/** A measured throughput that moved by less than this factor is not worth a new advert. */
const ADVERT_CHANGE_FACTOR = 1.25

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

  const floors = await openFloors({ db: dir.db })
  const network = await createNetwork({
    identity,
    config: { name: config.network, ...(config.secret === '' ? {} : { secret: Buffer.from(config.secret, 'base64url') }), listen: embedded ? [] : config.listen, bootstrap: config.bootstrap, dhtMode: embedded ? 'client' : config.dht.mode, mdns: config.discovery.mdns === 'on' || (config.discovery.mdns === 'auto' && config.secret !== ''), roles: works ? ['worker', 'requester'] : ['requester'], agent: `weft/${VERSION}` },
    log: log.child({ module: 'network' }),
    db: dir.db,
    validators: advertValidators({ network: config.network, floors }),
    selectors: advertSelectors()
  })
  const registry = createRegistry({ network, identity, db: dir.db, floors, log: log.child({ module: 'registry' }) })

  const trusted = (peer: string): boolean => config.trust.everyone || config.secret !== '' || config.trust.peers.includes(peer)
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
        lease: peer => trusted(peer.toString()) ? undefined : { reason: 'policy', message: 'this node works for the peers of its trust.peers only', retryAfterMs: 0 },
        offer: (_peer, { price }) => BigInt(price) >= BigInt(config.policy.minPrice) ? undefined : { reason: 'policy', message: `this node asks for at least ${config.policy.minPrice} micro${config.prices.unit} per resource hour`, retryAfterMs: 0 }
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
      distrusted: ({ peer }) => trusted(peer.toString()) ? undefined : 'not among trust.peers, and the network is open (trust.everyone is not set)',
      log: log.child({ module: 'coordinator' })
    }),
    log: log.child({ module: 'coordinator' })
  })

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
    shutdown: () => { closing.abort() }
  })
  const gateway = embedded
    ? undefined
    : createGateway({ node: api, log: log.child({ module: 'gateway' }) }, { ...config.api, token, uploads: join(dir.scratch, 'uploads') })

  const advert = async (): Promise<AdvertContent> => {
    const disk = await statfs(dir.path)
    return {
      resources: { cores: availableParallelism(), memoryBytes: totalmem(), diskBytes: disk.bavail * disk.bsize, slots: executor.slots },
      converters: works
        ? listConverters().filter(({ id }) => offers(config, id)).map(({ id, version, from, to }) => ({ id, version, from, to, bytesPerSecond: executor.throughput(id) }))
        : [],
      price: config.prices.perHour,
      unit: config.prices.unit,
      roles: works ? ['worker', 'requester'] : ['requester'],
      draining: state === 'draining' || state === 'stopping'
    }
  }

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
    let told = await advert()
    // A node that takes no work has nothing to tell.
    if (works) await registry.publish(told)
    const timer = setInterval(() => {
      void (async () => {
        await saveThroughput(dir, executor.throughput)
        const now = await advert()
        if (!works || !changed(told, now)) return
        told = now
        await registry.publish(now)
      })().catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'the advert could not be refreshed') })
    }, ADVERT_REFRESH_MS)
    timer.unref()
    running.defer(() => { clearInterval(timer) })
    state = 'ready'
    log.info({ peer: identity.peerId.toString(), network: config.network, addresses: network.libp2p.getMultiaddrs().map(String), api: gateway?.url }, 'ready')
  }

  async function drain ({ signal }: { signal: AbortSignal }): Promise<void> {
    if (state === 'stopping') return
    state = 'draining'
    if (works) await registry.publish(await advert())
    await server?.drain({ signal })
  }

  async function stop (): Promise<void> {
    stopping ??= (async () => {
      state = 'stopping'
      try {
        await saveThroughput(dir, executor.throughput)
      } catch (error) {
        // A full disk must not keep the rest from being stopped; the next start measures anew.
        log.warn({ error: (error as Error).message }, 'measured throughput could not be saved')
      } finally {
        await running.disposeAsync()
      }
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

async function knownThroughput (dir: DataDir): Promise<Record<string, number>> {
  const stored = await dir.db.get('node/throughput')
  return stored == null ? {} : JSON.parse(Buffer.from(stored).toString()) as Record<string, number>
}

async function saveThroughput (dir: DataDir, throughput: (converter: string) => number): Promise<void> {
  const rates = Object.fromEntries(listConverters().map(({ id }) => [id, throughput(id)]).filter(([id, rate]) => rate !== 0 && converterById(id as string) != null))
  await dir.db.put('node/throughput', Buffer.from(JSON.stringify(rates)))
}

/** Whether a measured throughput moved enough to be worth telling. */
function changed (before: AdvertContent, now: AdvertContent): boolean {
  return now.converters.some(({ id, bytesPerSecond }) => {
    const was = before.converters.find(c => c.id === id)?.bytesPerSecond ?? 0
    return was === 0 ? bytesPerSecond > 0 : bytesPerSecond > was * ADVERT_CHANGE_FACTOR || bytesPerSecond < was / ADVERT_CHANGE_FACTOR
  })
}
