/** Peers caught with a wrong result by a job of this process. In memory: a restart forgets them, as it forgets the jobs they lied to. */
import { DISTRUSTED_MAX } from './constants.ts'

export interface Finding {
  peer: string
  /** The job that found it. */
  job: string
  reason: string
  /** UTC milliseconds. */
  at: number
}

export class DistrustedPeers {
  readonly #findings = new Map<string, Finding>()
  readonly #limit: number

  constructor (limit: number = DISTRUSTED_MAX) {
    this.#limit = limit
  }

  /** False if the peer is known already; the first finding stands. */
  add (finding: Finding): boolean {
    if (this.#findings.has(finding.peer)) return false
    this.#findings.set(finding.peer, finding)
    for (const oldest of this.#findings.keys()) {
      if (this.#findings.size <= this.#limit) break
      this.#findings.delete(oldest)
    }
    return true
  }

  /** Why the peer gets no work, in words; undefined if nothing is known against it. */
  reason (peer: string): string | undefined {
    const finding = this.#findings.get(peer)
    return finding == null ? undefined : `it gave a wrong result at ${new Date(finding.at).toISOString()} (job ${finding.job}): ${finding.reason}`
  }
}
