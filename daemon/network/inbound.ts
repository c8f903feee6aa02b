/** Holds inbound connections to the limits of admission.ts, from their first byte to their end. */
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import type { Log } from '../log.ts'
import { groupOf } from './address.ts'
import { Admissions, type AdmissionLimits } from './admission.ts'
import { CLOSE_TIMEOUT_MS, IDLE_PROTOCOLS } from './constants.ts'

export interface InboundInit {
  /** Name of the network. */
  network: string
  /** Anybody may be a member, so that members count towards their group's limit. */
  open: boolean
  log: Log
  limits?: AdmissionLimits
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

export class InboundConnections {
  readonly #admissions: Admissions<MultiaddrConnection>
  /** Those that passed hello. */
  readonly #members = new WeakMap<MultiaddrConnection, Connection>()
  readonly #isIdle: (protocol: string) => boolean
  readonly #log: Log
  readonly #now: () => number

  constructor ({ network, open, log, limits, now = () => performance.now() }: InboundInit) {
    this.#admissions = new Admissions(open, limits)
    const idle = ['/ipfs/', ...IDLE_PROTOCOLS.map(name => `/weft/${network}/${name}/`)]
    // A stream that has not said its protocol yet has none.
    this.#isIdle = protocol => protocol === '' || idle.some(prefix => protocol.startsWith(prefix))
    this.#log = log
    this.#now = now
  }

  /** For libp2p's connection gater. */
  denies (connection: MultiaddrConnection): boolean {
    const decision = this.#admissions.admit(connection, groupOf(connection.remoteAddr), { now: this.#now(), busy: this.#isBusy })
    if (!decision.admitted) {
      this.#log.debug({ address: connection.remoteAddr.toString(), reason: decision.reason }, 'inbound connection refused')
      return true
    }
    connection.addEventListener('close', () => { this.#admissions.closed(connection) })
    if (decision.evict != null) this.#close(decision.evict)
    return false
  }

  /** It passed hello. */
  greeted (connection: Connection): void {
    // No published member; a test says that it is there.
    const { maConn } = connection as unknown as { maConn?: MultiaddrConnection }
    if (maConn == null) return
    this.#members.set(maConn, connection)
    this.#admissions.greeted(maConn, connection.remotePeer.toString(), this.#now())
  }

  readonly #isBusy = (connection: MultiaddrConnection): boolean => this.#members.get(connection)?.streams.some(({ protocol }) => !this.#isIdle(protocol)) ?? false

  /** A member's in good order, so that it does not take it for a failure. */
  #close (connection: MultiaddrConnection): void {
    const member = this.#members.get(connection)
    if (member == null) {
      connection.abort(new Error('closed for a newer connection: this node holds as many strangers as it may'))
      return
    }
    this.#log.debug({ peer: member.remotePeer.toString() }, 'an idle connection makes room for a newcomer')
    member.close({ signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(error => { member.abort(error) })
  }
}
