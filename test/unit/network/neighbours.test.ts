import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { silentLog } from '../../../daemon/log.ts'
import { NEIGHBOUR_ADDRESSES_MAX, NEIGHBOUR_DIALS_MAX, NEIGHBOUR_PAUSE_MIN_MS, NEIGHBOURS_MAX, NEIGHBOURS_WANTED } from '../../../daemon/network/constants.ts'
import { Neighbours, type Neighbour } from '../../../daemon/network/neighbours.ts'

async function peer (): Promise<PeerId> {
  return peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
}

const at = (port: number): ReturnType<typeof multiaddr> => multiaddr(`/ip4/192.0.2.1/tcp/${port}`)

/** Reads, dials and the pause after them are all promises: this many turns see them through. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate()
}

/** Neighbours over a network that answers nobody unless told, and a store in memory. */
function setUp (stored: Neighbour[] = []): { neighbours: Neighbours, dialled: string[], connected: string[], written: Neighbour[][], settle: () => Promise<void> } {
  const dialled: string[] = []
  const connected: string[] = []
  const written: Neighbour[][] = []
  const neighbours = new Neighbours({
    dial: async addresses => {
      dialled.push(addresses[0]!.toString())
      throw new Error('nobody there')
    },
    connected: () => connected,
    store: { read: async () => stored, write: async all => { written.push(structuredClone(all)) } },
    log: silentLog
  }, { now: () => 1000 })
  return { neighbours, dialled, connected, written, settle: turns }
}

describe('neighbours', () => {
  it('dials those known before, the latest seen first, a few at a time', async () => {
    const peers = await Promise.all(Array.from({ length: NEIGHBOUR_DIALS_MAX + 2 }, peer))
    const stored = peers.map((id, i) => ({ peer: id.toString(), addresses: [`/ip4/192.0.2.1/tcp/${i + 1}/p2p/${id.toString()}`], seen: i }))
    const { neighbours, dialled, settle } = setUp(stored)
    neighbours.start()
    await settle()
    await neighbours.stop()
    assert.deepEqual(dialled, stored.toReversed().slice(0, NEIGHBOUR_DIALS_MAX).map(({ addresses }) => addresses[0]))
  })

  it('leaves them alone while enough members are connected, and looks again when one is lost', async () => {
    const id = await peer()
    const { neighbours, dialled, connected, settle } = setUp([{ peer: id.toString(), addresses: [`/ip4/192.0.2.1/tcp/1/p2p/${id.toString()}`], seen: 1 }])
    for (let i = 0; i < NEIGHBOURS_WANTED; i++) connected.push(`member ${i}`)
    neighbours.start()
    await settle()
    assert.deepEqual(dialled, [])
    connected.pop()
    neighbours.lost()
    await settle()
    await neighbours.stop()
    assert.equal(dialled.length, 1)
  })

  it('remembers a bounded number of members and addresses, the latest ones', async () => {
    const { neighbours, written } = setUp()
    const first = await peer()
    neighbours.met(first, [])
    for (let port = 1; port <= NEIGHBOUR_ADDRESSES_MAX + 3; port++) neighbours.met(first, [at(port)])
    await neighbours.stop()
    const [only] = written.at(-1)!
    assert.equal(only!.addresses.length, NEIGHBOUR_ADDRESSES_MAX)
    assert.equal(only!.addresses[0], `${at(NEIGHBOUR_ADDRESSES_MAX + 3).toString()}/p2p/${first.toString()}`)
    const others = await Promise.all(Array.from({ length: NEIGHBOURS_MAX }, peer))
    for (const other of others) neighbours.met(other, [at(1)])
    await neighbours.stop()
    assert.deepEqual(written.at(-1)!.map(neighbour => neighbour.peer), others.map(String))
  })

  it('tells which addresses it reached itself, and which the local network told, when it dials', async () => {
    const [a, b] = [await peer(), await peer()]
    const written: Neighbour[][] = []
    const dials: Array<{ addresses: string[], reached: string[], local: boolean }> = []
    const short = (address: { toString: () => string }): string => address.toString().split('/')[4] ?? ''
    const make = (): Neighbours => new Neighbours({
      dial: async (addresses, { reached, local }) => { dials.push({ addresses: addresses.map(short), reached: reached.map(short), local }) },
      connected: () => [],
      store: { read: async () => written.at(-1) ?? [], write: async all => { written.push(structuredClone(all)) } },
      log: silentLog
    }, { now: () => 1000 })
    const first = make()
    first.met(a, [at(1), at(2)])
    first.met(a, [at(3)], [at(2)])
    first.met(a, [at(1)])
    await first.stop()
    const again = make()
    again.start()
    again.announced(b, [at(9)])
    await turns()
    await again.stop()
    assert.deepEqual(dials.toSorted((x, y) => Number(x.local) - Number(y.local)), [{ addresses: ['1', '2', '3'], reached: ['2'], local: false }, { addresses: ['9'], reached: [], local: true }])
  })

  it('dials who is announced on the local network once, unless connected', async () => {
    const { neighbours, dialled, connected, settle } = setUp()
    const [a, b] = [await peer(), await peer()]
    connected.push(b.toString())
    neighbours.start()
    neighbours.announced(a, [at(1)])
    neighbours.announced(a, [at(1)])
    neighbours.announced(b, [at(2)])
    await settle()
    await neighbours.stop()
    assert.deepEqual(dialled, [`${at(1).toString()}/p2p/${a.toString()}`])
    neighbours.announced(a, [at(1)])
    assert.equal(dialled.length, 1, 'nothing after the stop')
  })

  it('keeps the least pause between two rounds, however often members are lost', async () => {
    const id = await peer()
    const waits: Array<{ ms: number, end: () => void }> = []
    let dials = 0
    const neighbours = new Neighbours({
      dial: async () => { dials++ },
      connected: () => [],
      store: { read: async () => [{ peer: id.toString(), addresses: [`${at(1).toString()}/p2p/${id.toString()}`], seen: 1 }], write: async () => {} },
      log: silentLog
    }, {
      random: () => 0,
      wait: async (ms, signal) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        waits.push({ ms, end: resolve })
        if (signal.aborted) resolve()
        else signal.addEventListener('abort', () => { resolve() })
        await promise
      }
    })
    neighbours.start()
    await turns()
    neighbours.lost()
    neighbours.lost()
    await turns()
    assert.deepEqual([dials, waits.map(({ ms }) => ms)], [1, [NEIGHBOUR_PAUSE_MIN_MS]], 'a loss does not end the least pause')
    waits[0]!.end()
    await turns()
    // The rest of the pause was not waited for: a member was lost.
    assert.deepEqual([dials, waits.map(({ ms }) => ms)], [2, [NEIGHBOUR_PAUSE_MIN_MS, 0, NEIGHBOUR_PAUSE_MIN_MS]])
    waits[2]!.end()
    await turns()
    assert.deepEqual([dials, waits.at(-1)!.ms], [2, NEIGHBOUR_PAUSE_MIN_MS], 'without a loss the pause grows')
    await neighbours.stop()
  })

  it('dials remembered members though the local network is full of announcements, and stops when no dial is left', async () => {
    const [remembered, ...strangers] = await Promise.all(Array.from({ length: 2 * NEIGHBOUR_DIALS_MAX + 2 }, peer)) as [PeerId, ...PeerId[]]
    const dialled: string[] = []
    const cut: Array<() => void> = []
    const { promise: read, resolve: readIs } = Promise.withResolvers<Neighbour[]>()
    const neighbours = new Neighbours({
      dial: async ([address], { signal }) => {
        dialled.push(address!.toString())
        // Takes its time to end, also after the stop.
        const { promise, resolve } = Promise.withResolvers<void>()
        cut.push(resolve)
        await promise
        signal.throwIfAborted()
      },
      connected: () => [],
      store: { read: async () => await read, write: async () => {} },
      log: silentLog
    })
    neighbours.start()
    for (const stranger of [...strangers, remembered]) neighbours.announced(stranger, [at(1)])
    assert.equal(dialled.length, NEIGHBOUR_DIALS_MAX)
    const address = `${at(2).toString()}/p2p/${remembered.toString()}`
    readIs([{ peer: remembered.toString(), addresses: [address], seen: 1 }])
    await turns()
    assert.deepEqual(dialled.slice(NEIGHBOUR_DIALS_MAX), [address])
    let stopped = false
    const stop = neighbours.stop().then(() => { stopped = true })
    // All but one that was announced.
    for (const end of cut.slice(1)) end()
    await turns()
    assert.equal(stopped, false)
    cut[0]!()
    await stop
  })

  it('writes the newest state once, however much changed while it was writing', async () => {
    const written: Neighbour[][] = []
    const { promise: disk, resolve: writes } = Promise.withResolvers<void>()
    const neighbours = new Neighbours({
      dial: async () => {},
      connected: () => [],
      store: { read: async () => [], write: async all => { written.push(all); await disk } },
      log: silentLog
    })
    const peers = await Promise.all(Array.from({ length: 5 }, peer))
    neighbours.met(peers[0]!, [at(1)])
    await turns()
    for (const other of peers.slice(1)) neighbours.met(other, [at(1)])
    writes()
    await neighbours.stop()
    assert.deepEqual(written.map(all => all.length), [1, 5])
  })

  it('goes on without what cannot be read or written, and with addresses that are none', async () => {
    const dialled: string[] = []
    const id = await peer()
    const neighbours = new Neighbours({
      dial: async addresses => { dialled.push(String(addresses[0])) },
      connected: () => [],
      store: { read: async () => { throw new Error('broken') }, write: async () => { throw new Error('full') } },
      log: silentLog
    })
    neighbours.start()
    neighbours.met(id, [at(1)])
    await neighbours.stop()
    const odd = setUp([{ peer: id.toString(), addresses: ['nonsense'], seen: 1 }])
    odd.neighbours.start()
    await odd.settle()
    await odd.neighbours.stop()
    assert.deepEqual(odd.dialled, [])
  })
})
