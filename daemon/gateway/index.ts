/**
 * The local HTTP API: what the command line, a dashboard or an agent sees of a node. Loopback by default, bearer token,
 * Host and Origin checked, RFC 9457 problem details. It calls the node's public API (`NodeApi`) and nothing else.
 *
 * @example
 * ```ts
 * const gateway = createGateway({ node, log }, { host: '127.0.0.1', port: 0, token, roots: [], uploads })
 * await gateway.start()          // a taken port rejects with an ApiError 'port-taken'
 * await dataDir.writeSecret('api', gateway.url)
 * ```
 */
import type { JobEvent, JobReport, JobRequest } from '../coordinator/index.ts'
import type { Log } from '../log.ts'

export interface NodeStatus {
  version: string
  peerId: string
  operator: string
  network: string
  multiaddrs: string[]
  /** Base URL of the API. */
  api: string
  state: 'starting' | 'ready' | 'draining' | 'stopping'
  /** Greeted peers, now connected. */
  peers: number
  uptimeSeconds: number
  executor: { slots: number, busy: number, bwrap: boolean, rlimits: boolean }
  load: { leases: number, active: number, jobs: number }
  pid: number
  dataDir: string
}

export interface NodeView {
  peer: string
  operator: string
  self: boolean
  connected: boolean
  source: string
  /** Milliseconds since this was learned. */
  ageMs: number
  addresses: string[]
  resources: { cores: number, memoryBytes: number, diskBytes: number, slots: number }
  converters: Array<{ id: string, version: string, from: string, to: string, bytesPerSecond: number }>
  price: string
  unit: string
  draining: boolean
}

export interface ConverterView {
  id: string
  version: string
  from: string
  to: string
  /** Usual file extensions of `from` and `to`, without dot, the preferred one first. */
  extensions?: { from: string[], to: string[] }
  equivalence: string
  deterministic: string
}

/** The node's public API, implemented by `node.ts`. Errors are `ApiError`s (a JobRefusedError is mapped too). */
export interface NodeApi {
  status: () => NodeStatus
  /** Why the node is not ready, or undefined if it is. */
  notReady: () => string | undefined
  nodes: (filter: { from?: string, to?: string, converter?: string, limit?: number, cursor?: string }) => Promise<{ nodes: NodeView[], cursor?: string }>
  converters: () => ConverterView[]
  submit: (request: JobRequest) => Promise<JobReport>
  jobs: () => JobReport[]
  job: (id: string) => JobReport | undefined
  /** Resolves to the final report. */
  wait: (id: string, options: { signal: AbortSignal }) => Promise<JobReport | undefined>
  cancel: (id: string) => Promise<JobReport | undefined>
  /** Calls `listener` for every job event until the returned function is called. */
  subscribe: (listener: (event: JobEvent) => void) => () => void
  metrics: () => Promise<string>
  /** Begins shutdown: drains, then stops. */
  shutdown: () => void
}

export interface Gateway {
  /** Base URL, once started. */
  readonly url: string
  start: () => Promise<void>
  stop: () => Promise<void>
}

export interface GatewayInit {
  host: string
  /** 0 = any free port. */
  port: number
  token: string
  /** Folders jobs may read and write, besides the owner's token which may use any path. */
  roots: string[]
  /** Folder for uploaded inputs (`POST /uploads`), made on first use and emptied at stop. Absent: no uploads. */
  uploads?: string
}

export interface GatewayComponents {
  node: NodeApi
  log: Log
}

export { createGateway } from './gateway.ts'
export { ApiError } from './errors.ts'
