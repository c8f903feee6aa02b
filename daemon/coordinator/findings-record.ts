/**
 * Peers that were caught with a wrong result, kept in the journal while there are jobs that somebody may go on with: after a restart nothing
 * of theirs is taken over that was not compared with its source.
 */
import type { Log } from '../log.ts'
import type { Journal } from '../store/index.ts'
import { DISTRUSTED_MAX } from './constants.ts'
import { NewerJournalError } from './errors.ts'
import { decodeFinding, encodeFinding, findingKey, FINDINGS_PREFIX, type FindingEntry } from './journal-entries.ts'
import type { RecordWriter } from './record-writer.ts'

/** Characters of a reason that are kept. */
const REASON_MAX = 500

export interface FindingsRecordComponents {
  journal: Pick<Journal, 'entries' | 'remove'>
  records: Pick<RecordWriter, 'write'>
  log: Log
}

export class FindingsRecord {
  readonly #components: FindingsRecordComponents
  /** Of earlier runs, by peer; also others of the same operator that worked for the same jobs. */
  readonly #earlier = new Map<string, string>()
  #count = 0

  constructor (components: FindingsRecordComponents) {
    this.#components = components
  }

  /** Reads what earlier runs found; `needed` says whether there are jobs of theirs, for otherwise it is forgotten. Throws NewerJournalError. */
  async load (needed: boolean): Promise<void> {
    const { journal, log } = this.#components
    const useless: string[] = []
    for await (const [key, value] of journal.entries(FINDINGS_PREFIX)) {
      const finding = this.#read(key, value)
      if (!needed || finding == null) {
        useless.push(key)
        continue
      }
      this.#count++
      const found = `found at ${new Date(finding.at).toISOString()} by job ${finding.job}: ${finding.reason}`
      this.#earlier.set(finding.peer, `it gave a wrong result, ${found}`)
      for (const peer of finding.others) if (!this.#earlier.has(peer)) this.#earlier.set(peer, `another node of its operator, ${finding.peer}, gave a wrong result, ${found}`)
    }
    for (const key of useless) await journal.remove(key).catch((error: unknown) => { log.warn({ error, key }, 'an entry of no use stays in the journal') })
  }

  /** In the journal before any output that is renamed from now on, where the disk takes it. */
  add (finding: FindingEntry): void {
    // A job meets far fewer; who makes peers by the thousand must not fill the journal with them.
    if (this.#count >= DISTRUSTED_MAX) return
    this.#count++
    void this.#components.records.write(findingKey(finding.peer), encodeFinding({ ...finding, reason: finding.reason.slice(0, REASON_MAX) }))
  }

  /** Why what this peer made for an earlier run is not believed; undefined if nothing is known. */
  reason (peer: string): string | undefined {
    return this.#earlier.get(peer)
  }

  #read (key: string, value: Uint8Array): FindingEntry | undefined {
    try {
      return decodeFinding(value)
    } catch (error) {
      if (error instanceof NewerJournalError) throw error
      this.#components.log.warn({ error, key }, 'a finding about a peer in the journal is damaged')
      return undefined
    }
  }
}
