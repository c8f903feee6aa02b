/** The command line's side of the local API. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent, JobLook, JobReport, JobRequest } from '../../daemon/coordinator/index.ts'
import type { BanInfo, Capabilities, ConverterView, DoctorReport, NodePage, NodeStatus, PeerInfo, PostedPrice, SpotPrices } from '../../daemon/gateway/index.ts'
import { POLL_MS, REQUEST_MS } from './constants.ts'
import { readEvents } from './event-reader.ts'
import { Failure } from './failure.ts'
import { isRunning } from './process.ts'

const ENDED = ['done', 'failed', 'cancelled']

interface Call { body?: unknown, stream?: AsyncIterable<Uint8Array>, headers?: Record<string, string>, signal?: AbortSignal, timeoutMs?: number }

export class Client {
  readonly url: string
  readonly #token: string
  readonly #dataDir: string

  constructor (url: string, token: string, dataDir: string) {
    this.url = url
    this.#token = token
    this.#dataDir = dataDir
  }

  async status (): Promise<NodeStatus> {
    return await this.#json('GET', '/status')
  }

  async nodes (filter: Record<string, string | undefined> = {}): Promise<NodePage> {
    return await this.#json('GET', `/nodes${query(filter)}`)
  }

  async capabilities (): Promise<Capabilities> {
    return await this.#json('GET', '/capabilities')
  }

  async spotPrices (): Promise<SpotPrices> {
    return await this.#json('GET', '/prices/spot')
  }

  async postedPrice (): Promise<PostedPrice> {
    return await this.#json('GET', '/prices/posted')
  }

  async setPrice (price: string, unit?: string): Promise<PostedPrice> {
    return await this.#json('PUT', '/prices/posted', { body: { price, ...(unit != null ? { unit } : {}) } })
  }

  async peers (): Promise<PeerInfo[]> {
    return (await this.#json<{ peers: PeerInfo[] }>('GET', '/peers')).peers
  }

  async connectPeer (address: string, signal?: AbortSignal): Promise<PeerInfo> {
    return await this.#json('POST', '/peers', { body: { address }, ...(signal != null ? { signal } : {}) })
  }

  async bans (): Promise<BanInfo[]> {
    return (await this.#json<{ bans: BanInfo[] }>('GET', '/peers/bans')).bans
  }

  async ban (subject: string, reason?: string): Promise<BanInfo> {
    return await this.#json('POST', '/peers/bans', { body: { subject, ...(reason != null ? { reason } : {}) } })
  }

  async unban (subject: string): Promise<void> {
    await this.#call('DELETE', `/peers/bans/${encodeURIComponent(subject)}`)
  }

  async converters (): Promise<ConverterView[]> {
    return (await this.#json<{ converters: ConverterView[] }>('GET', '/converters')).converters
  }

  async submit (request: JobRequest, key: string): Promise<JobReport> {
    return await this.#json('POST', '/jobs', { body: request, headers: { 'idempotency-key': key } })
  }

  async jobs (filter: Record<string, string | undefined> = {}): Promise<JobReport[]> {
    return (await this.#json<{ jobs: JobReport[] }>('GET', `/jobs${query(filter)}`)).jobs
  }

  async job (id: string): Promise<JobReport> {
    return await this.#json('GET', `/jobs/${encodeURIComponent(id)}`)
  }

  /** Who has what of a job, at most `limit` blocks, and why it waits. */
  async look (id: string, limit: number, signal?: AbortSignal): Promise<JobLook> {
    return await this.#json('GET', `/jobs/${encodeURIComponent(id)}/blocks?limit=${limit}`, signal != null ? { signal } : {})
  }

  /** The final report. */
  async wait (id: string, signal?: AbortSignal): Promise<JobReport> {
    for (;;) {
      const report = await this.#json<JobReport>('GET', `/jobs/${encodeURIComponent(id)}?wait=true`, { timeoutMs: POLL_MS, ...(signal != null ? { signal } : {}) })
      if (ENDED.includes(report.state)) return report
    }
  }

  async cancel (id: string): Promise<JobReport> {
    return await this.#json('DELETE', `/jobs/${encodeURIComponent(id)}`)
  }

  async resume (id: string): Promise<JobReport> {
    return await this.#json('POST', `/jobs/${encodeURIComponent(id)}/resume`)
  }

  async output (id: string): Promise<AsyncIterable<Uint8Array>> {
    return (await this.#call('GET', `/jobs/${encodeURIComponent(id)}/output`, { timeoutMs: 0 })).body as unknown as AsyncIterable<Uint8Array>
  }

  async upload (stream: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<{ id: string, path: string, bytes: number }> {
    return await this.#json('POST', '/uploads', { stream, timeoutMs: 0, ...(signal != null ? { signal } : {}) })
  }

  async removeUpload (id: string): Promise<void> {
    await this.#call('DELETE', `/uploads/${id}`)
  }

  /** Events until the signal fires or the daemon ends the stream. */
  async * events (filter: { job?: string, types?: string }, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const response = await this.#call('GET', `/events${query(filter)}`, { signal, timeoutMs: 0 })
    try {
      yield * readEvents<JobEvent>(response.body as unknown as AsyncIterable<Uint8Array>)
    } catch (error) {
      if (!signal.aborted) throw this.#gone(error)
    }
  }

  /** Neighbours are asked to dial back, which takes its time. */
  async doctor (): Promise<DoctorReport> {
    return await this.#json('GET', '/doctor', { timeoutMs: POLL_MS })
  }

  async drain (deadlineMs: number): Promise<NodeStatus> {
    return await this.#json('POST', '/drain', { body: { deadlineMs } })
  }

  async resumeWork (): Promise<NodeStatus> {
    return await this.#json('POST', '/resume')
  }

  async shutdown (): Promise<void> {
    await this.#call('POST', '/shutdown')
  }

  async #json<T> (method: string, path: string, call: Call = {}): Promise<T> {
    return await (await this.#call(method, path, call)).json() as T
  }

  async #call (method: string, path: string, { body, stream, headers = {}, signal, timeoutMs = REQUEST_MS }: Call = {}): Promise<Response> {
    const signals = [...(signal != null ? [signal] : []), ...(timeoutMs > 0 ? [AbortSignal.timeout(timeoutMs)] : [])]
    const init: RequestInit & { duplex?: 'half' } = {
      method,
      headers: { authorization: `Bearer ${this.#token}`, ...(body != null ? { 'content-type': 'application/json' } : {}), ...(stream != null ? { 'content-type': 'application/octet-stream' } : {}), ...headers },
      ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
      ...(body != null ? { body: JSON.stringify(body) } : {}),
      ...(stream != null ? { body: stream as unknown as NonNullable<RequestInit['body']>, duplex: 'half' as const } : {})
    }
    let response: Response
    try {
      response = await fetch(`${this.url}${path}`, init)
    } catch (error) {
      if (signal?.aborted === true) throw error
      throw this.#gone(error)
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  #gone (error: unknown): Failure {
    const { name, message, cause } = error as Error & { cause?: { code?: string, message?: string } }
    if (cause?.code === 'ECONNREFUSED') return noDaemon(this.#dataDir)
    const reason = name === 'TimeoutError' ? 'it does not answer' : cause?.code === 'UND_ERR_SOCKET' || cause?.code === 'ECONNRESET' || message === 'terminated' ? 'it went away' : cause?.message ?? message
    return new Failure('no-daemon', `the daemon at ${this.url} cannot be used: ${reason}; see its log, or start it again with 'weft start'`, { api: this.url }, { cause: error })
  }
}

export const noDaemon = (dataDir: string): Failure => new Failure('no-daemon', `no daemon is running for ${dataDir}: start one with 'weft start'`, { dataDir })

/** The running daemon of a data directory, or undefined if none is running. */
export async function findDaemon (dataDir: string): Promise<Client | undefined> {
  const api = await readTrimmed(join(dataDir, 'api'))
  if (api == null) return undefined
  // A daemon that was killed leaves its files. Its port may be another program's by now, which must not get the token.
  const pid = Number(await readTrimmed(join(dataDir, 'pid')) ?? Number.NaN)
  if (!isRunning(pid)) return undefined
  const token = await readTrimmed(join(dataDir, 'token'))
  if (token == null) throw new Failure('unauthorized', `a daemon is running for ${dataDir}, but its token file ${join(dataDir, 'token')} is missing: stop the daemon (process ${pid}) and start it again`, { dataDir })
  return new Client(api, token, dataDir)
}

/** The same, for verbs that need one. */
export async function connect (dataDir: string): Promise<Client> {
  const client = await findDaemon(dataDir)
  if (client == null) throw noDaemon(dataDir)
  return client
}

async function readTrimmed (path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new Failure('no-daemon', `cannot read ${path}: ${code === 'EACCES' ? 'no permission; run this as the user who started the daemon' : (error as Error).message}`, { path }, { cause: error })
  }
}

async function refusal (response: Response): Promise<Failure> {
  const problem = await response.json().catch(() => ({})) as { code?: string, detail?: string, details?: Record<string, unknown> }
  return new Failure(problem.code ?? 'failed', problem.detail ?? `the daemon answered ${response.status} ${response.statusText}`, problem.details ?? {})
}

function query (filter: Record<string, string | undefined>): string {
  const given = Object.entries(filter).filter((entry): entry is [string, string] => entry[1] != null)
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`
}
