import type { JobEvent, JobLook, JobReport, JobRequest } from '../../../daemon/coordinator/index.ts'
import { ApiError } from '../../../daemon/gateway/errors.ts'
import type { BanInfo, ConverterView, DoctorReport, NetworkView, NodeApi, NodeFilter, NodePage, NodeStatus, NodeView, PeerInfo, PostedPrice } from '../../../daemon/gateway/index.ts'
import { selectNodes } from '../../../daemon/gateway/view/select.ts'

export const PEER = '12D3KooWJ4vY1dJ3uQkz3mQmYq9bXnZ7kqkV6yZ3dC6tXb3pVb7H'
export const OPERATOR = 'did:key:z6MkjRagNiMu91DduvCvgEsqLZDVzrJzFrwahc4tXLt9DoHd'

/** A node of the network as the API shows it: connected, free, with one converter. */
export function nodeView (peer: string, changes: Partial<NodeView> = {}): NodeView {
  return {
    peer,
    operator: OPERATOR,
    self: false,
    connected: true,
    source: 'direct',
    ageMs: 1000,
    addresses: [],
    resourceTypes: ['CPU'],
    resources: { cores: 4, memoryBytes: 8e9, diskBytes: 1e11, slots: 4 },
    converters: [{ id: 'table/csv-parquet', version: '1', from: 'text/csv', to: 'application/vnd.apache.parquet', bytesPerSecond: 0 }],
    price: '0',
    unit: 'credit',
    draining: false,
    facts: { price: { source: 'gossip', ageMs: 500 } },
    latencyBand: 'unknown',
    policy: { hours: [], maxLeases: 8, everyone: true, open: true },
    ...changes
  }
}

export const peerInfo = (peer: string, changes: Partial<PeerInfo> = {}): PeerInfo =>
  ({ peer, operator: OPERATOR, agent: 'weft/0.1.0', roles: ['worker', 'requester'], address: `/ip4/127.0.0.1/tcp/4001/p2p/${peer}`, direction: 'outbound', since: 1, rttMs: 0.4, band: 'lan', ...changes })

export function report (job: string, changes: Partial<JobReport> = {}): JobReport {
  return {
    job,
    state: 'running',
    seconds: 0,
    cost: '0',
    resumed: false,
    inputs: [{ path: '/data/in.csv', mediaType: 'text/csv', bytes: 10 }],
    outputs: [],
    conversion: [],
    blocks: { total: 4, done: 1, local: 0, remote: 1, memo: 0, redispatched: 0, hedged: 0, rejected: 0, redone: 0, restored: 0 },
    epochs: 0,
    notes: [],
    check: { equivalence: 'content-exact', distance: 0, bound: 0, blocksChecked: 0, blocksUnmeasured: 0, whole: false },
    workers: [],
    timing: { prepareMs: 0, convertMs: 0, mergeMs: 0, checkMs: 0, roundTripMsP50: 0, roundTripMsP99: 0, resultsPerSecond: 0 },
    created: 1,
    ...changes
  }
}

/** A job that runs and of which nothing is known. */
export function look (job: string, changes: Partial<JobLook> = {}): JobLook {
  return { job, state: 'running', at: 1_000_000, total: 4, known: true, done: 1, blocks: [], workers: [], moreWorkers: 0, moved: [], why: [], ...changes }
}

/** A node that remembers what it was asked; each answer can be set by a test. */
export class FakeNode implements NodeApi {
  state: NodeStatus['state'] = 'ready'
  reason: string | undefined
  submitted: JobRequest[] = []
  filters: NodeFilter[] = []
  view: NetworkView = { at: 1_000_000, unit: 'credit', nodes: [] }
  posted: PostedPrice = { price: '0', unit: 'credit' }
  connections: PeerInfo[] = []
  banned: BanInfo[] = []
  report: DoctorReport = { checks: [] }
  cancelled: string[] = []
  shutdowns = 0
  drains: number[] = []
  reports = new Map<string, JobReport>()
  submitError: Error | undefined
  failure: Error | undefined
  listeners = new Set<(event: JobEvent) => void>()
  endings = new Map<string, PromiseWithResolvers<JobReport>>()

  status (): NodeStatus {
    if (this.failure != null) throw this.failure
    return {
      version: '0.1.0', peerId: PEER, operator: OPERATOR, network: 'testnet-unit', multiaddrs: [`/ip4/127.0.0.1/tcp/4001/p2p/${PEER}`], api: 'http://127.0.0.1:1', state: this.state,
      peers: 2, uptimeSeconds: 5, executor: { slots: 2, busy: 0, bwrap: false, rlimits: true }, load: { leases: 0, active: 0, jobs: 0 }, pid: 42, dataDir: '/data/weft'
    }
  }

  notReady (): string | undefined {
    return this.reason
  }

  async nodes (filter: NodeFilter): Promise<NodePage> {
    this.filters.push(filter)
    return selectNodes(this.view, filter)
  }

  network (): NetworkView {
    return this.view
  }

  peers (): PeerInfo[] {
    return this.connections
  }

  async connect (address: string): Promise<PeerInfo> {
    const peer = address.replace(/^.*\//, '')
    if (!this.view.nodes.some(node => node.peer === peer)) throw new ApiError(502, 'not-reached', `cannot connect to ${address}: connection refused`, { address })
    this.connections.push(peerInfo(peer))
    return peerInfo(peer)
  }

  bans (): BanInfo[] {
    return this.banned
  }

  async ban (subject: string, reason: string): Promise<BanInfo> {
    const ban = { subject, reason, since: 5 }
    this.banned.push(ban)
    return ban
  }

  async unban (subject: string): Promise<boolean> {
    const before = this.banned.length
    this.banned = this.banned.filter(ban => ban.subject !== subject)
    return this.banned.length < before
  }

  postedPrice (): PostedPrice {
    return this.posted
  }

  async setPrice (price: string, unit = this.posted.unit): Promise<void> {
    this.posted = { price, unit }
  }

  async doctor (): Promise<DoctorReport> {
    return this.report
  }

  converters (): ConverterView[] {
    return [{ id: 'table/csv-parquet', version: '1', from: 'text/csv', to: 'application/vnd.apache.parquet', equivalence: 'content-exact', deterministic: 'bytes', extensions: { from: ['csv'], to: ['parquet'] } }]
  }

  resumed: string[] = []
  resumeError: Error | undefined

  async resume (id: string): Promise<JobReport | undefined> {
    if (this.resumeError != null) throw this.resumeError
    this.resumed.push(id)
    return this.reports.get(id)
  }

  async submit (request: JobRequest): Promise<JobReport> {
    this.submitted.push(request)
    if (this.submitError != null) throw this.submitError
    const id = `job${this.submitted.length}`
    const made = report(id, { created: this.submitted.length })
    this.reports.set(id, made)
    return made
  }

  jobs (): JobReport[] {
    return [...this.reports.values()]
  }

  job (id: string): JobReport | undefined {
    return this.reports.get(id)
  }

  looks = new Map<string, JobLook>()
  limits: number[] = []

  blocks (id: string, { limit }: { limit: number }): JobLook | undefined {
    this.limits.push(limit)
    return this.looks.get(id)
  }

  async wait (id: string, { signal }: { signal: AbortSignal }): Promise<JobReport | undefined> {
    const ending = Promise.withResolvers<JobReport>()
    this.endings.set(id, ending)
    signal.addEventListener('abort', () => { ending.reject(signal.reason as Error) })
    return await ending.promise
  }

  async cancel (id: string): Promise<JobReport | undefined> {
    this.cancelled.push(id)
    const before = this.reports.get(id)
    return before == null ? undefined : { ...before, state: 'cancelled' }
  }

  subscribe (listener: (event: JobEvent) => void): () => void {
    this.listeners.add(listener)
    return () => { this.listeners.delete(listener) }
  }

  emit (event: JobEvent): void {
    for (const listener of this.listeners) listener(event)
  }

  async metrics (): Promise<string> {
    return 'weft_jobs_total 1\n'
  }

  drain ({ deadlineMs }: { deadlineMs: number }): void {
    this.drains.push(deadlineMs)
    this.state = 'draining'
  }

  resumeWork (): void {
    this.state = 'ready'
  }

  shutdown (): void {
    this.shutdowns++
  }
}
