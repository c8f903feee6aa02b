/** Holds inbound connections to the limits of admission.ts, from their first byte to their end. */
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import type { Log } from '../log.ts'
import { groupOf } from './address.ts'
import { Admissions } from './admission.ts'

export class InboundConnections {
  readonly #admissions: Admissions<MultiaddrConnection>
  readonly #log: Log

  /** @param open anybody may be a member, so that members count towards their group's limit */
  constructor (open: boolean, log: Log) {
    this.#admissions = new Admissions(open)
    this.#log = log
  }

  /** For libp2p's connection gater. */
  denies (connection: MultiaddrConnection): boolean {
    const decision = this.#admissions.admit(connection, groupOf(connection.remoteAddr))
    if (!decision.admitted) {
      this.#log.debug({ address: connection.remoteAddr.toString(), reason: decision.reason }, 'inbound connection refused')
      return true
    }
    connection.addEventListener('close', () => { this.#admissions.closed(connection) })
    decision.evict?.abort(new Error('closed for a newer connection: this node holds as many strangers as it may'))
    return false
  }

  /** It passed hello. */
  greeted (connection: Connection): void {
    // No published member; a test says that it is there.
    const { maConn } = connection as unknown as { maConn?: MultiaddrConnection }
    if (maConn != null) this.#admissions.greeted(maConn)
  }
}
