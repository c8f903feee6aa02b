/** The node's public API over its parts: what the gateway serves and an embedded node offers. */
import type { Coordinator, JobReport } from './coordinator/index.ts'
import { JobRefusedError } from './coordinator/index.ts'
import { ConversionError, families, listConverters, mediaTypeOf } from './block-convert/index.ts'
import type { ProviderView, Registry } from './dht-registry/index.ts'
import type { Executor } from './executor/index.ts'
import { ApiError, type NodeApi, type NodeStatus, type NodeView } from './gateway/index.ts'
import type { Network } from './network/index.ts'
import type { TaskServer } from './task-protocol/index.ts'
import type { Identity } from './trust/index.ts'

/** Nodes of one page of `GET /nodes`, unless asked for fewer. */
const NODES_PAGE_MAX = 1000

export interface NodeApiComponents {
  identity: Identity
  network: Network
  registry: Registry
  executor: Executor
  server: TaskServer | undefined
  coordinator: Coordinator
  /** What this node offers, for `converters`. */
  offered: (converterId: string) => boolean
  version: string
  dataDir: string
  apiUrl: () => string
  state: () => NodeStatus['state']
  shutdown: () => void
}

export function createNodeApi (parts: NodeApiComponents): NodeApi {
  const { coordinator, executor, identity, network, registry } = parts
  const started = performance.now()

  const load = (): NodeStatus['load'] => {
    const { leases, active } = parts.server?.load() ?? { leases: 0, active: 0 }
    return { leases, active, jobs: coordinator.list().filter(({ state }) => !['done', 'failed', 'cancelled'].includes(state)).length }
  }

  const status = (): NodeStatus => ({
    version: parts.version,
    peerId: identity.peerId.toString(),
    operator: identity.operator,
    network: network.name,
    multiaddrs: network.libp2p.getMultiaddrs().map(address => address.toString()),
    api: parts.apiUrl(),
    state: parts.state(),
    peers: network.peers().length,
    uptimeSeconds: Math.round((performance.now() - started) / 1000),
    executor: { slots: executor.slots, busy: executor.busy, ...executor.isolation },
    load: load(),
    pid: process.pid,
    dataDir: parts.dataDir
  })

  return {
    status,
    notReady: () => parts.state() === 'ready' ? undefined : `the node is ${parts.state()}`,
    nodes: async filter => {
      const [from, to] = [typeNamed(filter.from), typeNamed(filter.to)]
      return page(registry.view().filter(view => matches(view, { ...filter, from, to })), filter)
    },
    converters: () => listConverters().filter(({ id }) => parts.offered(id)).map(({ id, version, from, to, equivalence, deterministic }) =>
      ({ id, version, from, to, equivalence: typeof equivalence === 'string' ? equivalence : equivalence.metric, deterministic, extensions: { from: extensionsOf(from), to: extensionsOf(to) } })),
    submit: async request => {
      if (parts.state() !== 'ready') throw new ApiError(503, 'interrupted', `the node is ${parts.state()} and takes no new jobs`)
      try {
        return (await coordinator.submit(request)).report()
      } catch (error) {
        if (error instanceof JobRefusedError) throw new ApiError(statusOf(error.error.code), error.error.code, error.error.message, error.error.details)
        throw error
      }
    },
    jobs: () => coordinator.list(),
    job: id => reportOf(coordinator, id),
    wait: async (id, { signal }) => {
      const job = coordinator.get(id)
      if (job == null) return reportOf(coordinator, id)
      return await new Promise<JobReport>((resolve, reject) => {
        const aborted = (): void => { reject(signal.reason as Error) }
        signal.addEventListener('abort', aborted, { once: true })
        void job.done.then(report => {
          signal.removeEventListener('abort', aborted)
          resolve(report)
        })
      })
    },
    cancel: async id => {
      await coordinator.get(id)?.cancel('cancelled by the user')
      return reportOf(coordinator, id)
    },
    subscribe: listener => {
      const relay = ({ detail }: CustomEvent<Parameters<typeof listener>[0]>): void => { listener(detail) }
      coordinator.events.addEventListener('job', relay)
      return () => { coordinator.events.removeEventListener('job', relay) }
    },
    metrics: async () => metricsText(status()),
    shutdown: parts.shutdown
  }

  function matches ({ advert }: ProviderView, { from, to, converter }: { from?: string, to?: string, converter?: string }): boolean {
    if (from == null && to == null && converter == null) return true
    return advert.converters.some(c => (from == null || c.from === from) && (to == null || c.to === to) && (converter == null || c.id === converter))
  }

  function page (views: ProviderView[], { limit = NODES_PAGE_MAX, cursor }: { limit?: number, cursor?: string }): { nodes: NodeView[], cursor?: string } {
    const sorted = views.map(nodeView).sort((a, b) => a.peer < b.peer ? -1 : 1)
    const rest = cursor == null ? sorted : sorted.filter(({ peer }) => peer > cursor)
    const nodes = rest.slice(0, Math.min(limit, NODES_PAGE_MAX))
    return { nodes, ...(nodes.length < rest.length ? { cursor: nodes.at(-1)?.peer } : {}) }
  }

  function nodeView ({ peer, advert, source, seen, connected }: ProviderView): NodeView {
    const { operator, addresses, resources, converters, price, unit, draining } = advert
    return {
      peer: peer.toString(),
      operator,
      self: peer.equals(identity.peerId),
      connected,
      source,
      ageMs: Math.max(0, Date.now() - seen),
      addresses,
      resources,
      converters: converters.map(({ id, version, from, to, bytesPerSecond }) => ({ id, version, from, to, bytesPerSecond })),
      price,
      unit,
      draining
    }
  }
}

/** A type as a user may name it, as a media type. */
function typeNamed (name: string | undefined): string | undefined {
  if (name == null) return undefined
  try {
    return mediaTypeOf(name)
  } catch (error) {
    if (error instanceof ConversionError) throw new ApiError(400, 'usage', error.message, error.details)
    throw error
  }
}

function extensionsOf (mediaType: string): string[] {
  return families.flatMap(family => family.mediaTypes).find(entry => entry.mediaType === mediaType)?.extensions ?? []
}

function reportOf (coordinator: Coordinator, id: string): JobReport | undefined {
  return coordinator.get(id)?.report() ?? coordinator.list().find(({ job }) => job === id)
}

/** RFC 9110 status for a job that is refused when it is submitted. */
function statusOf (code: string): number {
  if (code === 'output-exists') return 409
  if (code === 'interrupted' || code === 'failed') return 503
  return 422
}

/** Prometheus text format; base units, no peer ids as labels. */
function metricsText ({ peers, uptimeSeconds, executor, load }: NodeStatus): string {
  const gauges: Array<[string, string, number]> = [
    ['weft_peers', 'Peers that passed hello, now connected', peers],
    ['weft_uptime_seconds', 'Seconds since the node was made', uptimeSeconds],
    ['weft_engine_slots', 'Engine processes that may run at once', executor.slots],
    ['weft_engine_busy', 'Engine processes at work', executor.busy],
    ['weft_leases', 'Leases held by requesters', load.leases],
    ['weft_orders_active', 'Orders of others at work or queued', load.active],
    ['weft_jobs_running', 'Jobs of this node that have not ended', load.jobs],
    ['process_resident_memory_bytes', 'Resident memory of the daemon', process.memoryUsage.rss()]
  ]
  return gauges.map(([name, help, value]) => `# HELP ${name} ${help}.\n# TYPE ${name} gauge\n${name} ${value}\n`).join('')
}

