/** The socket as its thread runs it, in this thread, with datagrams made by hand. */
import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { ControlMemory, LeaseMemory, steadyMs } from '../../../daemon/health/beacon-memory.ts'
import { encodeBeacon, openBeacon, PACKET_BYTES, type BeaconPacket } from '../../../daemon/health/beacon-packet.ts'
import { BeaconSocket } from '../../../daemon/health/beacon-socket.ts'
import { BEACON_PACKETS_PER_SECOND, BEACON_RING, STRANGE_PACKETS_PER_SECOND } from '../../../daemon/health/constants.ts'

const OURS = { id: Buffer.from('aaaaaaaaaaaaaaaa', 'hex'), key: Buffer.alloc(32, 1) }
const THEIRS = { id: Buffer.from('bbbbbbbbbbbbbbbb', 'hex'), key: Buffer.alloc(32, 2) }
const name = OURS.id.toString('hex')

const packet = (sequence: number, fields: Partial<BeaconPacket> = {}): Buffer =>
  encodeBeacon({ incarnation: 1, sequence, progress: sequence, loopDelayMs: 0, active: 0, ...fields }, OURS.id, createSecretKey(OURS.key))

describe('beacon socket', () => {
  let control: ControlMemory
  let memory: LeaseMemory
  let beacon: BeaconSocket
  let port: number
  let peer: Socket
  let received: Buffer[]
  let until: (ready: () => boolean) => Promise<void>

  async function open (beaconMs: number, addresses = ['127.0.0.1']): Promise<void> {
    control = new ControlMemory()
    memory = new LeaseMemory()
    beacon = new BeaconSocket({ control: control.buffer, addresses, port: 0, incarnation: 3, beaconMs })
    port = await beacon.start(error => { throw error })
    beacon.obey({ type: 'open', id: name, key: OURS.key, memory: memory.buffer, whose: 'peer' })
  }

  async function peerSocket (host = '127.0.0.1'): Promise<Socket> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    socket.bind(0, host)
    await once(socket, 'listening')
    return socket
  }

  const tellPeer = (socket = peer, host = '127.0.0.1'): void => { beacon.obey({ type: 'peer', id: name, host, port: socket.address().port, peerId: THEIRS.id, peerKey: THEIRS.key }) }

  beforeEach(async () => {
    received = []
    peer = await peerSocket()
    peer.on('message', bytes => { received.push(bytes) })
    until = async ready => { while (!ready()) await new Promise(resolve => setTimeout(resolve, 2)) }
  })

  afterEach(() => {
    beacon.stop()
    peer.close()
  })

  it('beats to the peer with its id and key, what the main loop and the lease say, in ascending order', async () => {
    await open(10)
    control.progressed(123)
    control.progressed(456)
    memory.active = 7
    tellPeer()
    await until(() => received.length >= 3)
    const opened = received.map(bytes => openBeacon(bytes, createSecretKey(THEIRS.key))!)
    assert.ok(received.every(bytes => bytes.subarray(4, 12).equals(THEIRS.id)))
    for (const { incarnation, progress, loopDelayMs, active } of opened) assert.deepEqual({ incarnation, progress, loopDelayMs, active }, { incarnation: 3, progress: 2, loopDelayMs: 456, active: 7 })
    assert.ok(opened.every(({ sequence }, i) => i === 0 || sequence > opened[i - 1]!.sequence))
    assert.ok(control.ticks != null && steadyMs() - control.ticks.at < 60_000)
    beacon.obey({ type: 'close', id: name })
  })

  it('says nothing before it knows a peer', async () => {
    await open(5)
    peer.send(packet(1), port, '127.0.0.1')
    await until(() => memory.heard === 1)
    assert.equal(received.length, 0)
  })

  it('hears what is authentic and new, and nothing else; answers nobody else', async () => {
    await open(1e6)
    const stranger = await peerSocket()
    const answers: Buffer[] = []
    stranger.on('message', bytes => { answers.push(bytes) })
    try {
      tellPeer()
      for (const bad of [Buffer.alloc(0), Buffer.alloc(PACKET_BYTES), Buffer.alloc(1400, 1), encodeBeacon({ incarnation: 1, sequence: 9, progress: 9, loopDelayMs: 0, active: 0 }, OURS.id, createSecretKey(Buffer.alloc(32, 9))), encodeBeacon({ incarnation: 1, sequence: 9, progress: 9, loopDelayMs: 0, active: 0 }, THEIRS.id, createSecretKey(OURS.key))]) stranger.send(bad, port, '127.0.0.1')
      for (const bytes of [packet(5), packet(5), packet(4), packet(6, { incarnation: 0 }), packet(6, { active: 2, loopDelayMs: 31 })]) peer.send(bytes, port, '127.0.0.1')
      await until(() => memory.newest?.sequence === 6)
      assert.deepEqual(memory.since(0).map(({ incarnation, sequence, active, loopDelayMs }) => ({ incarnation, sequence, active, loopDelayMs })), [
        { incarnation: 1, sequence: 5, active: 0, loopDelayMs: 0 }, { incarnation: 1, sequence: 6, active: 2, loopDelayMs: 31 }
      ])
      assert.ok(Math.abs(memory.newest!.at - performance.now()) < 60_000)
      assert.equal(answers.length, 0)
      // its address was not taken for the peer's: the beacon still goes to the peer alone
      assert.equal(received.length, 1)
    } finally {
      stranger.close()
    }
  })

  it('follows the peer to where its newest authentic beacon came from', async () => {
    await open(10)
    tellPeer()
    await until(() => received.length > 0)
    const moved = await peerSocket()
    try {
      peer.send(packet(1), port, '127.0.0.1')
      await until(() => memory.heard === 1)
      moved.send(packet(1), port, '127.0.0.1') // overheard and sent again from elsewhere: old
      moved.send(packet(2), port, '127.0.0.1')
      await until(() => memory.heard === 2)
      for (let i = 0; i < 2; i++) await once(moved, 'message')
      const before = received.length
      for (let i = 0; i < 3; i++) await once(moved, 'message')
      assert.equal(received.length, before)
    } finally {
      moved.close()
    }
  })

  it('goes to where the peer was heard, not to where it said it would be', async () => {
    await open(10)
    peer.send(packet(1), port, '127.0.0.1')
    await until(() => memory.heard === 1)
    const elsewhere = await peerSocket()
    try {
      tellPeer(elsewhere)
      await until(() => received.length >= 2)
    } finally {
      elsewhere.close()
    }
  })

  it('takes from strangers who know the id no more than its budget, and the peer still comes through', async () => {
    await open(1e6)
    peer.send(packet(1), port, '127.0.0.1')
    await until(() => memory.heard === 1)
    const stranger = await peerSocket()
    try {
      // With the key, so that each digest made shows as heard: a second or two pass, each with its budget.
      const started = steadyMs()
      for (let i = 0; i < 200; i++) stranger.send(packet(1000 + i), port, '127.0.0.1')
      const last = packet(1e6)
      const again = setInterval(() => { peer.send(last, port, '127.0.0.1') }, 20)
      await until(() => memory.newest?.sequence === 1e6)
      clearInterval(again)
      const seconds = Math.floor((steadyMs() - started) / 1000) + 2
      // The first of them moved the address, so that it has both budgets.
      assert.ok(memory.heard <= 2 + seconds * (BEACON_PACKETS_PER_SECOND + STRANGE_PACKETS_PER_SECOND), `${memory.heard}`)
    } finally {
      stranger.close()
    }
  })

  it('after a new start of its thread, what was heard before is still old', async () => {
    await open(1e6)
    peer.send(packet(7), port, '127.0.0.1')
    await until(() => memory.heard === 1)
    beacon.stop()
    const kept = memory
    await open(1e6)
    memory = kept
    beacon.obey({ type: 'open', id: name, key: OURS.key, memory: kept.buffer, whose: 'peer' })
    peer.send(packet(7), port, '127.0.0.1')
    peer.send(packet(8), port, '127.0.0.1')
    await until(() => kept.heard === 2)
    assert.deepEqual(kept.since(0).map(({ sequence }) => sequence), [7, 8])
  })

  it('obeys the faults of a test network, each direction', async () => {
    await open(5)
    beacon.obey({ type: 'faults', faults: { peer: { blockIn: true, blockOut: true } } })
    tellPeer()
    peer.send(packet(1), port, '127.0.0.1')
    const ticks = control.ticks!.at
    await until(() => control.ticks!.at > ticks + 50)
    assert.equal(memory.heard + received.length, 0)
    beacon.obey({ type: 'faults', faults: { peer: { delayMs: 5 }, other: { blockIn: true } } })
    peer.send(packet(2), port, '127.0.0.1')
    await until(() => memory.heard === 1 && received.length > 0)
  })

  it('one socket reaches both families', async function () {
    beacon?.stop()
    try {
      await open(10, ['::'])
    } catch {
      this.skip()
    }
    tellPeer()
    await until(() => received.length > 0)
    peer.send(packet(1), port, '127.0.0.1')
    await until(() => memory.heard === 1)
    const six = await peerSocket('::1')
    try {
      const arrived = once(six, 'message')
      six.send(packet(2), port, '::1')
      await arrived
    } finally {
      six.close()
    }
  })

  it('takes the next address where the first cannot be had, and rejects if there is none', async () => {
    await open(1e6, ['192.0.2.1', '127.0.0.1'])
    const other = new BeaconSocket({ control: new ControlMemory().buffer, addresses: ['192.0.2.1'], port: 0, incarnation: 1 })
    await assert.rejects(other.start(() => {}))
    const taken = new BeaconSocket({ control: new ControlMemory().buffer, addresses: ['127.0.0.1'], port, incarnation: 1 })
    await assert.rejects(taken.start(() => {}), { code: 'EADDRINUSE' })
  })
})

describe('memory shared with the beacon', () => {
  it('keeps the newest of the ring, oldest first', () => {
    const memory = new LeaseMemory()
    const same = new LeaseMemory(memory.buffer)
    assert.equal(memory.newest, undefined)
    for (let sequence = 1; sequence <= BEACON_RING + 10; sequence++) memory.hear({ incarnation: 2 ** 32 - 1, sequence, progress: 2 ** 32 - sequence, loopDelayMs: 5, active: sequence }, steadyMs())
    assert.deepEqual(same.since(0).map(({ sequence }) => sequence), Array.from({ length: BEACON_RING }, (_, i) => i + 11))
    assert.deepEqual(same.since(same.heard), [])
    const { incarnation, progress, active } = same.newest!
    assert.deepEqual({ incarnation, progress, active }, { incarnation: 2 ** 32 - 1, progress: 2 ** 32 - BEACON_RING - 10, active: BEACON_RING + 10 })
  })

  it('tells when the thread was at work', () => {
    const control = new ControlMemory()
    assert.equal(control.ticks, undefined)
    new ControlMemory(control.buffer).ticked(1234.5, 6)
    assert.deepEqual(control.ticks, { at: 1234.5, lateMs: 6 })
    control.reset()
    assert.equal(control.ticks, undefined)
    control.sendFailed()
    assert.equal(control.sendFailures, 1)
  })
})
