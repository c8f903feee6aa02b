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
import type { JobEvent, JobLook, JobReport, JobRequest } from '../coordinator/index.ts'
import type { Log } from '../log.ts'
import type { BanInfo, NetworkView, NodeFilter, NodePage, PeerInfo, PostedPrice } from './network-types.ts'

export interface NodeStatus {
  version: string
  peerId: string
  operator: string
  network: string
  multiaddrs: string[]
  /** Base URL of the API. */
  api: string
  /** `drained`: takes no work from others, and has none left. */
  state: 'starting' | 'ready' | 'draining' | 'drained' | 'stopping'
  /** Greeted peers, now connected. */
  peers: number
  uptimeSeconds: number
  executor: { slots: number, busy: number, bwrap: boolean, rlimits: boolean }
  /** How much it does for others by its policy. */
  availability?: NodeAvailability
  load: { leases: number, active: number, jobs: number }
  pid: number
  dataDir: string
}

export interface NodeAvailability {
  /** Engines that may work for others. */
  slots: number
  /** Engines at work for others are stopped. */
  paused: boolean
  /** Why it is less than all, for instance "on battery". */
  reason?: string
}

/** One thing `weft doctor` looked at. */
export interface DoctorCheck {
  name: string
  state: 'ok' | 'warning' | 'failed'
  /** What was found, a sentence. */
  says: string
  /** What to do about it, where it is not ok. */
  mend?: string
}

export interface DoctorReport { checks: DoctorCheck[] }

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
  /** A page of what is known of the network. */
  nodes: (filter: NodeFilter) => Promise<NodePage>
  /** All of it, for what is gathered over all nodes; prices per gibibyte, of which there may be hundreds of thousands, only where `derived`. */
  network: (options?: { derived?: boolean }) => NetworkView
  peers: () => PeerInfo[]
  /** Dials a multiaddr that ends in `/p2p/<peer id>`, or a known peer id, and greets it. */
  connect: (address: string, options: { signal: AbortSignal }) => Promise<PeerInfo>
  bans: () => BanInfo[]
  /** Closes connections to a peer id, or to all nodes of a did:key, and refuses new ones, across restarts. */
  ban: (subject: string, reason: string) => Promise<BanInfo>
  /** False if it was not banned. */
  unban: (subject: string) => Promise<boolean>
  /** What this node asks now. */
  postedPrice: () => PostedPrice
  /** From now on this is asked; the configuration is not written. `price` as in `prices.perHour`; without `unit` it stays what it is. */
  setPrice: (price: string, unit?: string) => Promise<void>
  converters: () => ConverterView[]
  submit: (request: JobRequest) => Promise<JobReport>
  jobs: () => JobReport[]
  /** With `why`, while it has not ended. */
  job: (id: string) => JobReport | undefined
  /** What of it is not done, and who has it; at most `limit` blocks, and none once it has ended. */
  blocks: (id: string, options: { limit: number }) => JobLook | undefined
  /** Resolves to the final report. */
  wait: (id: string, options: { signal: AbortSignal }) => Promise<JobReport | undefined>
  cancel: (id: string) => Promise<JobReport | undefined>
  /** Goes on with a job that ended badly, from what it had done; a running job is left as it is. ApiError `not-resumable` if it cannot be. */
  resume: (id: string) => Promise<JobReport | undefined>
  /** Calls `listener` for every job event until the returned function is called. */
  subscribe: (listener: (event: JobEvent) => void) => () => void
  metrics: () => Promise<string>
  /** Looks at this node from within, and asks neighbours to dial back. */
  doctor: (options: { signal: AbortSignal }) => Promise<DoctorReport>
  /**
   * Takes no more work from others: hands back what has not begun, and after `deadlineMs` what still runs, too. Own jobs go on, and new ones may
   * come. Returns at once; `status().state` is `drained` when nothing is left. Again sets a new deadline. ApiError `interrupted` if the node is stopping.
   */
  drain: (options: { deadlineMs: number }) => void
  /** Takes work from others again, after `drain`. ApiError `interrupted` if the node is stopping. */
  resumeWork: () => void
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
  /**
   * Folder for uploaded inputs (`POST /uploads`), made on first use. What no unfinished job reads is removed at start and at stop. Absent: no
   * uploads.
   */
  uploads?: string
}

export interface GatewayComponents {
  node: NodeApi
  log: Log
}

export { createGateway } from './gateway.ts'
export { ApiError } from './errors.ts'
export { selectNodes } from './view/select.ts'
export type * from './network-types.ts'
