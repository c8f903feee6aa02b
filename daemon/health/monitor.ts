/** The node's part of liveness: own health and beacon, shared by the watches over all its peers. */
import type { LinkFaults } from '../link-faults.ts'
import { bindAddresses } from './addresses.ts'
import { Beacon, type BeaconLog } from './beacon.ts'
import { BEACON_LIMITS, LEASE_LIMITS, type SilenceLimits } from './constants.ts'
import type { DetectorLimits } from './detector.ts'
import type { LoopDelay } from './index.ts'
import { createLocalHealth } from './local-health.ts'
import { PeerWatch, type Watch, type WatchHandlers, type WatchInit } from './watch.ts'

export interface MonitorComponents {
  loopDelay: Pick<LoopDelay, 'worst'>
  /** @default nothing is logged */
  log?: BeaconLog
}

export interface MonitorInit {
  /** Multiaddrs this node listens on: loopback only, and the beacon keeps to loopback. @default none: all addresses */
  listen?: string[]
  /** @default auto: wherever the peer has one, too */
  beacon?: 'auto' | 'off'
  /** UDP port of the beacon. @default 0: any */
  port?: number
  /** Milliseconds of silence after which a peer with a beacon is suspect at the latest. @default that of BEACON_LIMITS */
  suspectMs?: number
  /** Milliseconds of silence after which a peer with a beacon is dead at the latest. @default that of BEACON_LIMITS */
  deadMs?: number
  /** Milliseconds without a lease after which the beacon's thread ends. @default BEACON_IDLE_MS */
  idleMs?: number
}

export interface MonitorStatus {
  /** `resting`: no lease needs it; `starting`: its socket is not bound (yet, or again after a failure). */
  beacon: 'off' | 'resting' | 'starting' | 'on'
  /** UDP port, while it is on. */
  port?: number
  /** Peers watched; those of them whose beacon is heard; and those that are suspect now. */
  watched: number
  byBeacon: number
  suspect: number
  /** Beacons that could not be sent since the start. */
  sendFailures: number
  /** Own health score: 0 is sound. */
  ownHealth: number
}

export interface Monitor {
  start: () => Promise<void>
  /** Resolves when the beacon's thread is gone. Watches still open go on by beats. */
  stop: () => Promise<void>
  /** Begins at once: its creation counts as a sign of life. */
  watch: (init: WatchInit, handlers: WatchHandlers) => Watch
  /** Test networks: what becomes of beacons from now on. */
  setFaults: (faults: LinkFaults) => void
  status: () => MonitorStatus
}

const NO_LOG: BeaconLog = { debug () {}, warn () {} }

/**
 * Nothing runs, and no socket is open, before a watch asks for a beacon.
 *
 * @throws RangeError if `deadMs` is not above `suspectMs`
 */
export function createMonitor (components: MonitorComponents, init: MonitorInit = {}): Monitor {
  const { loopDelay, log = NO_LOG } = components
  const limits = limitsOf(init)
  const health = createLocalHealth()
  const watches = new Set<Watch>()
  const makeBeacon = (): Beacon | undefined => init.beacon === 'off' ? undefined : new Beacon({ addresses: bindAddresses(init.listen ?? []), port: init.port, loopDelay, log, idleMs: init.idleMs })
  let beacon = makeBeacon()
  let stopped = false
  let faults: LinkFaults = {}
  return {
    async start () {
      if (!stopped) return
      beacon = makeBeacon()
      beacon?.setFaults(faults)
      stopped = false
    },
    async stop () {
      stopped = true
      await beacon?.stop()
    },
    watch (watchInit, handlers) {
      const watch: Watch = new PeerWatch({ loopDelay, health, beacon, limits, log, onEnd: () => { watches.delete(watch) } }, watchInit, handlers)
      watches.add(watch)
      return watch
    },
    setFaults (table) {
      faults = table
      beacon?.setFaults(faults)
    },
    status () {
      const all = [...watches]
      const status: MonitorStatus = {
        beacon: beacon == null ? 'off' : beacon.port != null ? 'on' : beacon.leases > 0 ? 'starting' : 'resting',
        watched: all.length,
        byBeacon: all.filter(watch => watch.byBeacon).length,
        suspect: all.filter(watch => watch.liveness === 'suspect').length,
        sendFailures: beacon?.sendFailures ?? 0,
        ownHealth: health.score
      }
      if (beacon?.port != null) status.port = beacon.port
      return status
    }
  }
}

/** What the operator set are the ceilings with a beacon; floors, and the limits without one, keep their proportion to them. */
export function limitsOf ({ suspectMs = BEACON_LIMITS.suspect.ceilingMs, deadMs = BEACON_LIMITS.dead.ceilingMs }: MonitorInit): Pick<DetectorLimits, 'beacon' | 'lease'> {
  if (!(suspectMs > 0 && deadMs > suspectMs)) throw new RangeError(`a peer is suspect before it is dead: not after ${suspectMs} and ${deadMs} ms`)
  const [s, d] = [suspectMs / BEACON_LIMITS.suspect.ceilingMs, deadMs / BEACON_LIMITS.dead.ceilingMs]
  const scaled = ({ suspect, dead }: SilenceLimits): SilenceLimits => {
    const [latest, dying] = [suspect.ceilingMs * s, dead.ceilingMs * d]
    const floorMs = dead.floorMs * d
    return { suspect: { floorMs: suspect.floorMs * s, ceilingMs: latest }, dead: { floorMs: floorMs > latest ? floorMs : (latest + dying) / 2, ceilingMs: dying } }
  }
  return { beacon: scaled(BEACON_LIMITS), lease: scaled(LEASE_LIMITS) }
}
