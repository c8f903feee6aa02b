import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import type { PeerId } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { INBOUND_PENDING_MAX, PEER_CONNECTIONS_MAX, PING_STREAMS_MAX } from '../../../daemon/network/constants.ts'
import { startNode } from '../registry/node.ts'
import { Attacker } from './attacker.ts'
import { until, World } from './world.ts'

/** Connections the victim of these tests may have: its own limit would need a hundred of them. */
const MOST = 20

/** Other addresses of this machine, as if they were other hosts: none has more connections a second than one host may. */
const ELSEWHERE = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']

describe('hostile: connections', () => {
  let world: World

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })

  it('of which each has room for the pings of several parts of a node at once, also beside one that holds all of its own', async () => {
    await using attacker = await Attacker.start()
    await attacker.join(world.victim)
    const held = await Promise.all(Array.from({ length: PING_STREAMS_MAX }, async () => await attacker.stream('/ipfs/ping/1.0.0')))
    assert.ok(held.every(({ status }) => status === 'open'))
    const { ping } = world.requester.network.libp2p.services as unknown as { ping: { ping: (peer: PeerId) => Promise<number> } }
    await world.during(4, async () => {
      // The connection monitor may take one: libp2p's only slot would be that one's.
      await Promise.all(Array.from({ length: PING_STREAMS_MAX / 2 }, async () => await ping.ping(world.victim.identity.peerId)))
    })
    await world.stillServes()
  })

  it('opened from some hosts and left there before any handshake: members from elsewhere still get in', async () => {
    const { victim } = world
    const { host, port } = endpoint(victim.address)
    const sockets: Socket[] = []
    try {
      await world.during(4, async more => {
        for (let i = 0; i < 2 * INBOUND_PENDING_MAX || (more() && i < 1000); i++) {
          const socket = connect({ host, port, localAddress: ELSEWHERE[i % ELSEWHERE.length] })
          socket.on('error', () => { /* refused, as it should be */ })
          sockets.push(socket)
          await pEvent(socket, ['connect', 'close'], { rejectionEvents: [] })
        }
      })
      await using late = await startNode({ bootstrap: [victim.address] })
      await until('a member gets in', () => late.network.peers().length > 0)
      assert.ok(sockets.some(({ readyState }) => readyState === 'open'), 'while the attack goes on')
    } finally {
      for (const socket of sockets) socket.destroy()
    }
    await world.stillServes()
  })

  // Comes last: the victim keeps this limit.
  it('up to the limit and beyond it, by peers that passed hello: those at work stay', async () => {
    await using stack = new AsyncDisposableStack()
    const { victim } = world
    const { components } = victim.network.libp2p as unknown as { components: { connectionManager: { setMaxConnections: (most: number) => void } } }
    components.connectionManager.setMaxConnections(MOST)
    const attackers = await Promise.all(Array.from({ length: 3 }, async () => stack.use(await Attacker.start())))
    await world.during(4, async more => {
      for (let round = 0; round < PEER_CONNECTIONS_MAX + 2 || more(); round++) {
        await Promise.all(attackers.map(async attacker => { await attacker.join(victim).catch(() => { /* refused, as it should be */ }) }))
        assert.ok(victim.network.libp2p.getConnections().length <= MOST + attackers.length, 'no more than a few beyond the limit, which are being closed')
      }
    })
    for (const { peer } of attackers) assert.ok(victim.network.libp2p.getConnections(peer).length <= PEER_CONNECTIONS_MAX)
    await until('the limit holds', () => victim.network.libp2p.getConnections().length <= MOST)
    assert.ok(victim.network.peers().some(({ peer }) => peer.equals(world.requester.identity.peerId)))
    await world.stillServes()
  })
})

function endpoint (address: string): { host: string, port: number } {
  const [, , host = '', , port] = address.split('/')
  return { host, port: Number(port) }
}
