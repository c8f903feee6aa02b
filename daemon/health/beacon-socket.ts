/** One UDP socket for the beacons of all leases: what runs in the beacon's thread. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { datagramDelay, type LinkFaults } from '../link-faults.ts'
import { reachable } from './addresses.ts'
import { ControlMemory, LeaseMemory, steadyMs } from './beacon-memory.ts'
import { addresseeOf, encodeBeacon, openBeacon } from './beacon-packet.ts'
import { BEACON_MS, BEACON_PACKETS_PER_SECOND, STRANGE_PACKETS_PER_SECOND } from './constants.ts'
import { isNewer } from './detector.ts'
import { createLoopDelay } from './loop-delay.ts'

/** From the main thread. Ids are hex. */
export type BeaconOrder =
  | { type: 'open', id: string, key: Uint8Array, memory: SharedArrayBuffer, /** Peer id, for the table of faults. */ whose: string }
  | { type: 'peer', id: string, host: string, port: number, peerId: Uint8Array, peerKey: Uint8Array }
  | { type: 'close', id: string }
  /** Of test networks: what becomes of datagrams. */
  | { type: 'faults', faults: LinkFaults }
  | { type: 'stop' }

export interface BeaconSocketInit {
  control: SharedArrayBuffer
  /** Addresses to bind, the first that can be had. */
  addresses: string[]
  /** 0: any. */
  port: number
  /** Which start of this beacon. */
  incarnation: number
  /** @default BEACON_MS */
  beaconMs?: number
}

interface Address { host: string, port: number }

interface Lease {
  whose: string
  key: KeyObject
  memory: LeaseMemory
  newest: { incarnation: number, sequence: number }
  peer: { id: Uint8Array, key: KeyObject } | undefined
  /** Where our beacons go: as the peer told, and then wherever its own come from. */
  address: Address | undefined
  heard: boolean
  budgets: { known: Budget, strange: Budget }
}

/** So many per second; what is left over is not kept. */
class Budget {
  readonly #most: number
  #second = 0
  #spent = 0

  constructor (most: number) {
    this.#most = most
  }

  spend (now: number): boolean {
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#spent = 0
    }
    return ++this.#spent <= this.#most
  }
}

export class BeaconSocket {
  readonly #init: BeaconSocketInit
  readonly #control: ControlMemory
  readonly #delay = createLoopDelay()
  readonly #leases = new Map<string, Lease>()
  #socket: Socket | undefined
  #family: 'udp4' | 'udp6' = 'udp4'
  #timer: NodeJS.Timeout | undefined
  #sequence = 0
  #faults: LinkFaults = {}

  constructor (init: BeaconSocketInit) {
    this.#init = init
    this.#control = new ControlMemory(init.control)
  }

  /** Resolves to the port. Rejects if no address can be bound; `onError` is told of what breaks later. */
  async start (onError: (error: Error) => void): Promise<number> {
    let last: Error | undefined
    for (const address of this.#init.addresses) {
      const family = address.includes(':') ? 'udp6' : 'udp4'
      // Names are never looked up here, so a look-up that only hands back what it was given saves a turn.
      const socket = createSocket({ type: family, lookup: (host, _options, callback) => { callback(null, host, family === 'udp6' ? 6 : 4) } })
      try {
        // Listening first: without a look-up it happens at once.
        const listening = once(socket, 'listening')
        socket.bind({ address, port: this.#init.port, exclusive: true })
        await listening
      } catch (error) {
        socket.close()
        last = error as Error
        continue
      }
      socket.on('error', onError)
      socket.on('message', (bytes, from) => { this.#receive(bytes, from) })
      this.#socket = socket
      this.#family = family
      this.#delay.start()
      this.#tick()
      this.#timer = setInterval(() => { this.#tick() }, this.#init.beaconMs ?? BEACON_MS)
      return socket.address().port
    }
    throw last ?? new Error('no address to bind')
  }

  obey (order: BeaconOrder): void {
    switch (order.type) {
      case 'open': {
        const memory = new LeaseMemory(order.memory)
        this.#leases.set(order.id, {
          whose: order.whose,
          key: createSecretKey(order.key),
          memory,
          newest: memory.newest ?? { incarnation: 0, sequence: 0 },
          peer: undefined,
          address: undefined,
          heard: false,
          budgets: { known: new Budget(BEACON_PACKETS_PER_SECOND), strange: new Budget(STRANGE_PACKETS_PER_SECOND) }
        })
        break
      }
      case 'peer': {
        const lease = this.#leases.get(order.id)
        if (lease == null) break
        lease.peer = { id: order.peerId, key: createSecretKey(order.peerKey) }
        const host = reachable(order.host, this.#family)
        // Heard before we were told: where it comes from is right, as it passed whatever is on the way.
        if (!lease.heard && host != null) lease.address = { host, port: order.port }
        this.#send(lease)
        break
      }
      case 'close': this.#leases.delete(order.id); break
      case 'faults': this.#faults = order.faults; break
      case 'stop': this.stop(); break
    }
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#delay.stop()
    this.#leases.clear()
    this.#socket?.close()
    this.#socket = undefined
  }

  #tick (): void {
    this.#control.ticked(steadyMs(), this.#delay.worst())
    this.#sequence++
    for (const lease of this.#leases.values()) this.#send(lease)
  }

  #send (lease: Lease): void {
    const { peer, address, memory } = lease
    if (peer == null || address == null || this.#socket == null) return
    const { progress, loopDelayMs } = this.#control
    const bytes = encodeBeacon({ incarnation: this.#init.incarnation, sequence: this.#sequence, progress, loopDelayMs, active: memory.active }, peer.id, peer.key)
    const delayMs = datagramDelay(this.#faults[lease.whose], 'out', Math.random)
    if (delayMs == null) return
    const send = (): void => { this.#socket?.send(bytes, address.port, address.host, error => { if (error != null) this.#control.sendFailed() }) }
    if (delayMs > 0) setTimeout(send, delayMs)
    else send()
  }

  /** Whatever is not for a lease, or not authentic, costs a look into a table or one digest, and is never answered. */
  #receive (bytes: Buffer, from: RemoteInfo): void {
    const id = addresseeOf(bytes)
    const lease = id == null ? undefined : this.#leases.get(id)
    if (lease == null) return
    const now = steadyMs()
    const known = lease.address?.port === from.port && lease.address.host === from.address
    if (!(known ? lease.budgets.known : lease.budgets.strange).spend(now)) return
    const packet = openBeacon(bytes, lease.key)
    if (packet == null || !isNewer(packet, lease.newest)) return
    if (datagramDelay(this.#faults[lease.whose], 'in', Math.random) == null) return
    lease.newest = packet
    lease.heard = true
    if (!known) lease.address = { host: from.address, port: from.port }
    lease.memory.hear(packet, now)
  }
}
