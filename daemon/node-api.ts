/** The node's public API over its parts: what the gateway serves and an embedded node offers. */
import type { Coordinator, JobReport } from './coordinator/index.ts'
import { JobRefusedError } from './coordinator/index.ts'
import { families, listConverters } from './block-convert/index.ts'
import type { Executor } from './executor/index.ts'
import { ApiError, type NodeApi, type NodeStatus } from './gateway/index.ts'
import type { GossipTally } from './market/index.ts'
import { createNetworkApi, type NetworkApiComponents } from './network-view.ts'
import type { TaskServer, WorkerLoad } from './task-protocol/index.ts'

export interface NodeApiComponents extends NetworkApiComponents {
  executor: Executor
  server: TaskServer | undefined
  coordinator: Coordinator
  /** For metrics; an embedded node tells nobody anything. */
  gossip?: { readonly tally: GossipTally }
  doctor: NodeApi['doctor']
  /** What this node offers, for `converters`. */
  offered: (converterId: string) => boolean
  version: string
  dataDir: string
  apiUrl: () => string
  state: () => NodeStatus['state']
  /** Neither starting nor about to end: `weft drain` is about the work of others. */
  takesJobs: () => boolean
  availability: () => NodeStatus['availability']
  drain: NodeApi['drain']
  resumeWork: NodeApi['resumeWork']
  shutdown: () => void
}

const ENDED = new Set(['done', 'failed', 'cancelled'])

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
    ...(parts.availability() == null ? {} : { availability: parts.availability() }),
    peers: network.peers().length,
    uptimeSeconds: Math.round((performance.now() - started) / 1000),
    executor: { slots: executor.slots, busy: executor.busy, ...executor.isolation },
    load: load(),
    pid: process.pid,
    dataDir: parts.dataDir
  })

  return {
    ...createNetworkApi(parts),
    status,
    notReady: () => parts.state() === 'ready' ? undefined : `the node is ${parts.state()}`,
    converters: () => listConverters().filter(({ id }) => parts.offered(id)).map(({ id, version, from, to, equivalence, deterministic }) =>
      ({ id, version, from, to, equivalence: typeof equivalence === 'string' ? equivalence : equivalence.metric, deterministic, extensions: { from: extensionsOf(from), to: extensionsOf(to) } })),
    submit: async request => {
      if (!parts.takesJobs()) throw new ApiError(503, 'interrupted', `the node is ${parts.state()} and takes no new jobs`)
      try {
        return (await coordinator.submit(request)).report()
      } catch (error) {
        if (error instanceof JobRefusedError) throw new ApiError(statusOf(error.error.code), error.error.code, error.error.message, error.error.details)
        throw error
      }
    },
    jobs: () => coordinator.list(),
    job: id => {
      const report = reportOf(coordinator, id)
      const why = coordinator.get(id)?.look?.(0).why
      return report == null || why == null || ENDED.has(report.state) ? report : { ...report, why }
    },
    blocks: (id, { limit }) => {
      const look = coordinator.get(id)?.look?.(limit)
      const report = look == null ? reportOf(coordinator, id) : undefined
      if (report == null) return look
      // It has ended: nobody has anything of it any more.
      return { job: id, state: report.state, at: Date.now(), total: report.blocks.total, known: true, done: report.blocks.done, blocks: [], workers: [], moreWorkers: 0, moved: [], why: [] }
    },
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
    resume: async id => {
      if (coordinator.get(id) == null) return undefined
      if (!parts.takesJobs()) throw new ApiError(503, 'interrupted', `the node is ${parts.state()} and takes no new jobs`)
      try {
        return (await coordinator.resume(id)).report()
      } catch (error) {
        if (error instanceof JobRefusedError) throw new ApiError(statusOf(error.error.code), error.error.code, error.error.message, error.error.details)
        throw error
      }
    },
    subscribe: listener => {
      const relay = ({ detail }: CustomEvent<Parameters<typeof listener>[0]>): void => { listener(detail) }
      coordinator.events.addEventListener('job', relay)
      return () => { coordinator.events.removeEventListener('job', relay) }
    },
    metrics: async () => metricsText(status(), registry.view().length, parts.gossip?.tally, parts.server?.load()),
    doctor: parts.doctor,
    drain: parts.drain,
    resumeWork: parts.resumeWork,
    shutdown: parts.shutdown
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
  if (code === 'output-exists' || code === 'not-resumable') return 409
  if (code === 'interrupted' || code === 'failed') return 503
  return 422
}

/** Prometheus text format; base units, no peer ids as labels. */
function metricsText ({ peers, uptimeSeconds, executor, load, availability }: NodeStatus, known: number, tally: GossipTally | undefined, work: WorkerLoad | undefined): string {
  const gauges: Metric[] = [
    ['weft_peers', 'Peers that passed hello, now connected', peers],
    ['weft_known_nodes', 'Nodes of the network whose advert is known, this one included', known],
    ['weft_uptime_seconds', 'Seconds since the node was made', uptimeSeconds],
    ['weft_engine_slots', 'Engine processes that may run at once', executor.slots],
    ['weft_engine_busy', 'Engine processes at work', executor.busy],
    ['weft_leases', 'Leases held by requesters', load.leases],
    ['weft_orders_active', 'Orders of others at work or queued', load.active],
    ...(availability == null ? [] : [['weft_engine_slots_for_others', 'Engine processes that may work for others now', availability.paused ? 0 : availability.slots] as Metric]),
    ...(work == null
      ? []
      : [
          ['weft_orders_orphaned', 'Conversions of lost leases that run on for a moment', work.orphans],
          ['weft_results_kept', 'Finished results kept for requesters that are gone', work.kept],
          ['weft_disk_promised_bytes', 'Bytes of disk promised to orders of others', work.diskReservedBytes]
        ] as Metric[]),
    ['weft_jobs_running', 'Jobs of this node that have not ended', load.jobs],
    ['process_resident_memory_bytes', 'Resident memory of the daemon', process.memoryUsage.rss()]
  ]
  const counters: Metric[] = work == null ? [] : [['weft_results_reused_total', 'Orders answered with what an earlier order of the same requester had become', work.reused]]
  if (tally != null) {
    counters.push(
      ['weft_gossip_published_total', 'Bulletins of prices and load this node told', tally.published],
      ['weft_gossip_heard_total', 'Bulletins that came in', tally.heard],
      ['weft_gossip_verified_total', 'Bulletins whose signature was checked', tally.verified],
      ['weft_gossip_over_budget_total', 'Bulletins not looked at, for want of budget for signatures', tally.overBudget],
      ['weft_gossip_stale_total', 'Bulletins dropped unchecked, since newer ones were known', tally.stale],
      ['weft_gossip_rejected_total', 'Bulletins found wrong', tally.rejected]
    )
  }
  return [...gauges.map(metric => metricText(metric, 'gauge')), ...counters.map(metric => metricText(metric, 'counter'))].join('')
}

type Metric = [name: string, help: string, value: number]

const metricText = ([name, help, value]: Metric, type: 'gauge' | 'counter'): string => `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${name} ${value}\n`
