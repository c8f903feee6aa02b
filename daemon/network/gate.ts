/**
 * Puts `hello` in front of a libp2p service we did not write (the DHT, gossip): it serves, asks and hears of greeted peers only,
 * and their messages have a limit.
 *
 * libp2p's own stream middleware is not used: in 3.3.11 each inbound stream adds its handler to the registered list, so
 * that later streams, outbound ones too, run the handlers of earlier ones.
 */
import type { Connection, Stream } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import { PING_BYTES_MAX } from './constants.ts'
import type { PeerGreeted } from './index.ts'
import { override } from './override.ts'
import { settledOrAborted } from './wait.ts'

export interface Greeter {
  isGreeted: (connection: Connection) => boolean
  greeted: (connection: Connection) => Promise<PeerGreeted>
}

export interface GatedComponents {
  registrar: Registrar
  connectionManager: ConnectionManager
}

/** Limits what a peer may send on a stream. Called in the tick in which the service attaches to it. */
export type Guard = (stream: Stream, connection: Connection) => void

/** The components of a service, with every way to a peer behind hello. */
export function gate<C extends GatedComponents> (components: C, greeter: Greeter, guard: Guard): C {
  const { registrar, connectionManager } = components
  const gated: Partial<GatedComponents> = {
    registrar: override(registrar, {
      handle: async (protocol, handler, options) => {
        await registrar.handle(protocol, async (stream, connection) => {
          // Not awaited when greeted already: a handler should attach to its stream in the tick it arrives in.
          if (!greeter.isGreeted(connection)) await greeter.greeted(connection)
          guard(stream, connection)
          await handler(stream, connection)
        }, options)
      },
      register: async (protocol, topology) => await registrar.register(protocol, {
        ...topology,
        onConnect: async (peer, connection) => {
          try {
            await greeter.greeted(connection)
          } catch {
            // No member: the service never hears of it, and hello logged why.
            return
          }
          await topology.onConnect?.(peer, connection)
        }
      })
    }),
    connectionManager: override(connectionManager, {
      openStream: async (target, protocol, options = {}) => {
        const connection = await connectionManager.openConnection(target, options)
        if (!greeter.isGreeted(connection)) await (options.signal == null ? greeter.greeted(connection) : settledOrAborted(greeter.greeted(connection), options.signal))
        const stream = await connection.newStream(protocol, options)
        guard(stream, connection)
        return stream
      }
    })
  }
  return override(components, gated as Partial<C>)
}

/** The components of libp2p's ping, which strangers may use too: it keeps all that it has not echoed yet. */
export function bounded<C extends { registrar: Registrar }> (components: C): C {
  const { registrar } = components
  const handle: Registrar['handle'] = async (protocol, handler, options) => {
    await registrar.handle(protocol, async (stream, connection) => {
      let received = 0
      stream.addEventListener('message', ({ data }) => {
        received += data.byteLength
        if (received > PING_BYTES_MAX) stream.abort(new Error(`more than ${PING_BYTES_MAX} bytes of pings`))
      })
      await handler(stream, connection)
    }, options)
  }
  return override(components, { registrar: override(registrar, { handle }) } as Partial<C>)
}
