/**
 * Peers caught with a wrong result by a job of this process, and their operators: a new node key is quickly made, and neither it nor another
 * node of the same operator is better than the one caught. In memory: a restart forgets them, as it forgets the jobs they lied to.
 */
import { DISTRUSTED_MAX } from './constants.ts'

export interface Finding {
  peer: string
  /** did:key of its operator, where the delegation was verified. */
  operator?: string
  /** The job that found it. */
  job: string
  reason: string
  /** UTC milliseconds. */
  at: number
}

export class DistrustedPeers {
  /** By peer and by operator. */
  readonly #findings = new Map<string, Finding>()
  readonly #limit: number

  constructor (limit: number = DISTRUSTED_MAX) {
    this.#limit = limit
  }

  /** False if peer and operator are known already; the first finding about each stands. */
  add (finding: Finding): boolean {
    let added = false
    for (const subject of finding.operator == null ? [finding.peer] : [finding.peer, finding.operator]) {
      if (this.#findings.has(subject)) continue
      this.#findings.set(subject, finding)
      added = true
    }
    for (const oldest of this.#findings.keys()) {
      if (this.#findings.size <= this.#limit) break
      this.#findings.delete(oldest)
    }
    return added
  }

  /** Why the peer gets no work, in words; undefined if nothing is known against it or its operator. */
  reason (peer: string, operator?: string): string | undefined {
    const finding = this.#findings.get(peer) ?? (operator == null ? undefined : this.#findings.get(operator))
    if (finding == null) return undefined
    const who = finding.peer === peer ? 'it' : `another node of its operator, ${finding.peer},`
    return `${who} gave a wrong result at ${new Date(finding.at).toISOString()} (job ${finding.job}): ${finding.reason}`
  }
}
