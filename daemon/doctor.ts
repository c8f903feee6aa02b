/**
 * What is wrong with a running node, and how to mend it: facts are gathered from its parts, and pure functions (`doctor-checks.ts`) judge them.
 *
 * @example
 * ```ts
 * const { checks } = await examine({ status, network, registry, dialback, loopDelay, monitor, blocks, converters, settings }, { signal: AbortSignal.timeout(30_000) })
 * ```
 */
import { statfs } from 'node:fs/promises'
import type { PeerId } from '@libp2p/interface'
import type { Registry } from './dht-registry/index.ts'
import { checksOf, isLoopback, type DialbackFact, type DoctorFacts } from './doctor-checks.ts'
import type { DoctorReport, NodeStatus } from './gateway/index.ts'
import type { Monitor } from './health/index.ts'
import type { Network } from './network/index.ts'
import type { BlockStore } from './store/index.ts'

/** Neighbours asked to dial back. */
export const NEIGHBOURS_ASKED_MAX = 3

/** Bootstrap addresses that are dialled to learn why they do not answer, and milliseconds for one. */
export const BOOTSTRAP_TRIED_MAX = 4
export const BOOTSTRAP_TRY_MS = 6000

export interface DoctorParts {
  status: () => NodeStatus
  network: Pick<Network, 'peers' | 'dhtPeers' | 'connect'>
  registry: Pick<Registry, 'view'>
  /** Must not reject. */
  dialback: { ask: (peer: PeerId, options: { signal: AbortSignal }) => Promise<DialbackFact> }
  loopDelay: { worst: () => number }
  monitor: Pick<Monitor, 'status'>
  blocks: Pick<BlockStore, 'usage'>
  /** Ids of the converters of this build, and whether each is offered to others. */
  converters: () => Array<{ id: string, offered: boolean }>
  settings: { works: boolean, privateNetwork: boolean, mdns: boolean, bootstrap: string[], sandbox: 'auto' | 'require' | 'off' }
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

/** Asks the node's parts, and up to NEIGHBOURS_ASKED_MAX neighbours, and judges. What is not known when the signal fires is left out. */
export async function examine (parts: DoctorParts, { signal }: { signal: AbortSignal }): Promise<DoctorReport> {
  const { status, network, registry, dialback, loopDelay, settings, monitor, blocks, now = Date.now } = parts
  const { version: own, state: current, uptimeSeconds, multiaddrs, dataDir, executor, availability } = status()
  const greeted = network.peers()
  const asked = chooseNeighbours(greeted.map(({ peer, connection }) => ({ peer, address: connection.remoteAddr.toString() })))
  const [dialbacks, boot, freeBytes, store] = await Promise.all([
    Promise.all(asked.map(async ({ peer }) => await dialback.ask(peer, { signal }))),
    bootstrapFacts(settings.bootstrap, parts, signal),
    // What cannot be learned is a finding of its own.
    statfs(dataDir).then(({ bavail, bsize }) => bavail * bsize, () => undefined),
    blocks.usage().catch(() => undefined)
  ])
  const converters = parts.converters()
  const views = registry.view()
  const self = views.find(({ source }) => source === 'self')?.advert
  const measured = dialbacks.flatMap(({ clockAheadMs }) => clockAheadMs ?? [])
  // An advert can only have been issued before it was seen: where it was not, its clock is ahead by at least that.
  const issuedAhead = views.filter(({ source }) => source === 'direct').map(({ advert: { issued }, seen }) => Math.max(0, issued - seen))
  return {
    checks: checksOf({
      version: own,
      runtime: process.version,
      state: current,
      uptimeSeconds,
      ...settings,
      listen: multiaddrs,
      bootstrap: boot,
      peers: network.peers().length,
      dhtPeers: network.dhtPeers(),
      dataDir,
      ...(freeBytes == null ? {} : { freeBytes }),
      ...(store == null ? {} : { store }),
      ...(availability == null ? {} : { availability }),
      converters: { offered: converters.filter(({ offered }) => offered).length, off: converters.filter(({ offered }) => !offered).map(({ id }) => id) },
      liveness: monitor.status(),
      dialbacks,
      clocks: measured.length > 0 ? measured : issuedAhead,
      engines: { slots: executor.slots, bwrap: executor.bwrap, rlimits: executor.rlimits, sandbox: settings.sandbox },
      ...(self == null ? {} : { advert: { ageMs: now() - self.issued, converters: self.converters.length, draining: self.draining } }),
      loopDelayMs: loopDelay.worst(),
      agents: greeted.map(({ hello }) => hello.agent)
    })
  }
}

/** Those that see this node from most different places: other machines first, and one per IP address before a second of any. */
export function chooseNeighbours<T extends { address: string }> (all: T[]): T[] {
  const hostOf = (address: string): string => address.split('/')[2] ?? ''
  const sorted = [...all.filter(({ address }) => !isLoopback(address)), ...all.filter(({ address }) => isLoopback(address))]
  const firsts = sorted.filter(({ address }, index) => sorted.findIndex(other => hostOf(other.address) === hostOf(address)) === index)
  return [...firsts, ...sorted.filter(entry => !firsts.includes(entry))].slice(0, NEIGHBOURS_ASKED_MAX)
}

/** Those not connected are dialled, to learn why. */
async function bootstrapFacts (addresses: string[], { network, status }: DoctorParts, signal: AbortSignal): Promise<DoctorFacts['bootstrap']> {
  const { peerId } = status()
  const connected = new Set(network.peers().map(({ peer }) => peer.toString()))
  let dials = 0
  return await Promise.all(addresses.filter(address => !address.endsWith(`/p2p/${peerId}`)).map(async address => {
    if (connected.has(/\/p2p\/([^/]+)$/.exec(address)?.[1] ?? '')) return { address }
    if (++dials > BOOTSTRAP_TRIED_MAX) return { address, problem: 'not connected' }
    try {
      await network.connect(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(BOOTSTRAP_TRY_MS)]) })
      return { address }
    } catch (error) {
      return { address, problem: (error as Error).name === 'TimeoutError' ? 'no answer in time' : (error as Error).message }
    }
  }))
}
