/**
 * The links of a test network's node: the faults that a file in its data directory names, for the connections it has and
 * those it makes. The test network's command writes the file; a second one says which version is in effect.
 */
import { watch, type FSWatcher } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, Libp2p, MultiaddrConnection } from '@libp2p/interface'
import { isSound, LINKS_APPLIED_FILE, LINKS_FILE, readLinkFaults, type LinkFault, type LinkFaults } from '../link-faults.ts'
import type { Log } from '../log.ts'
import { LinkShim } from './link-shim.ts'

export interface Links {
  /** Reads the file, and follows it from then on. Before the network starts, so that no connection escapes. */
  start: () => Promise<void>
  stop: () => Promise<void>
  /** Told at once, and whenever something changes. Returns what ends it. */
  subscribe: (listener: (faults: LinkFaults) => void) => () => void
  /** Resolves once a first packet to the peer would be answered; rejects when the signal fires, as a dial into a black hole does. */
  reach: (peer: string, signal: AbortSignal) => Promise<void>
  /** Every connection of the host is subject to the table from now on. */
  govern: (host: Pick<Libp2p, 'addEventListener'>) => void
}

export interface LinksInit {
  /** The node's data directory. */
  folder: string
  log: Log
  /** Numbers in [0, 1), for loss and jitter. @default Math.random */
  random?: () => number
}

export function createLinks ({ folder, log, random = Math.random }: LinksInit): Links {
  let faults: LinkFaults = {}
  let watcher: FSWatcher | undefined
  let reading: Promise<void> | undefined
  let stale = false
  const listeners = new Set<(faults: LinkFaults) => void>()
  const shims = new Map<Connection, LinkShim>()

  const set = (next: LinkFaults): void => {
    faults = next
    for (const [connection, shim] of shims) shim.set(faults[connection.remotePeer.toString()])
    for (const listener of listeners) listener(faults)
  }

  const read = async (): Promise<void> => {
    try {
      const { version, peers } = await readTable(join(folder, LINKS_FILE))
      set(peers)
      const applied = join(folder, LINKS_APPLIED_FILE)
      await writeFile(`${applied}.new`, String(version))
      await rename(`${applied}.new`, applied)
    } catch (error) {
      log.warn({ error: (error as Error).message }, `${LINKS_FILE} cannot be read or acknowledged: the links stay as they are`)
    }
  }
  /** One read at a time; a change during it is read afterwards. */
  const changed = (): void => {
    stale = true
    reading ??= (async () => {
      while (stale) {
        stale = false
        await read()
      }
      reading = undefined
    })()
  }

  return {
    async start () {
      watcher = watch(folder, (_event, name) => { if (name == null || name === LINKS_FILE) changed() })
      watcher.on('error', error => { log.warn({ error: error.message }, `${LINKS_FILE} is not followed any more`) })
      // Links are no reason to keep the process.
      watcher.unref()
      changed()
      await reading
    },
    async stop () {
      watcher?.close()
      await reading
      set({})
    },
    subscribe (listener) {
      listeners.add(listener)
      listener(faults)
      return () => { listeners.delete(listener) }
    },
    async reach (peer, signal) {
      const blocked = (fault: LinkFault | undefined): boolean => fault?.blockIn === true || fault?.blockOut === true
      while (blocked(faults[peer])) await change(listeners, signal)
      // The handshake of TCP: there and back.
      const roundTrip = 2 * (faults[peer]?.delayMs ?? 0)
      if (roundTrip > 0) await delay(roundTrip, undefined, { signal })
    },
    govern (host) {
      host.addEventListener('connection:open', ({ detail: connection }) => {
        // No published member; a test says that it is there.
        const shim = LinkShim.of((connection as unknown as { maConn?: MultiaddrConnection }).maConn, random)
        if (shim == null) return
        shims.set(connection, shim)
        const fault = faults[connection.remotePeer.toString()]
        if (!isSound(fault)) shim.set(fault)
      })
      host.addEventListener('connection:close', ({ detail: connection }) => {
        shims.get(connection)?.closed()
        shims.delete(connection)
      })
    }
  }
}

/** No file: nothing is wrong. */
async function readTable (path: string): Promise<{ version: number, peers: LinkFaults }> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { version: 0, peers: {} }
    throw error
  }
  const { version, peers } = JSON.parse(text) as { version: number, peers: unknown }
  return { version, peers: readLinkFaults(peers) }
}

/** Resolves at the next change of the table; rejects with the signal's reason. */
async function change (listeners: Set<(faults: LinkFaults) => void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onChange = (): void => { resolve() }
  const onAbort = (): void => { reject(signal.reason as Error) }
  listeners.add(onChange)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    listeners.delete(onChange)
    signal.removeEventListener('abort', onAbort)
  }
}
