import assert from 'node:assert/strict'
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { INBOUND_MAX, PEER_CONNECTIONS_MAX, STRANGERS_MAX } from '../../../daemon/network/constants.ts'
import { VERDICT } from '../../../daemon/network/messages.ts'
import { member, sayHello, stranger, until, type Member } from './member.ts'

const soon = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(10_000) })
const sees = (one: Member, other: Member): boolean => one.network.peers().some(({ peer }) => peer.equals(other.identity.peerId))

describe('integration: who is connected', () => {
  it('is told with address, operator and measured round trip', async () => {
    await using a = await member({ roles: ['worker'], agent: 'weft/1' })
    await using b = await member()
    assert.deepEqual(b.network.peerViews(), [])
    const before = Date.now()
    await b.network.connect(a.address, soon())
    await until('both measured', () => a.network.peerViews()[0]?.rttMs != null && b.network.peerViews()[0]?.rttMs != null)
    const [view] = b.network.peerViews()
    assert.ok(view?.rttMs != null && view.rttMs > 0 && view.band !== 'unknown')
    assert.equal(b.network.rttMs(a.identity.peerId), view.rttMs)
    assert.ok(view.since >= before - 1000 && view.since <= Date.now())
    assert.deepEqual({ ...view, rttMs: 0, since: 0, band: '' }, { peer: a.identity.peerId.toString(), operator: a.identity.operator, agent: 'weft/1', roles: ['worker'], address: a.address, direction: 'outbound', since: 0, rttMs: 0, band: '' })
    assert.equal(a.network.peerViews()[0]?.direction, 'inbound')
    await a.stop()
    await until('nobody is left', () => b.network.peerViews().length === 0)
    assert.equal(b.network.rttMs(a.identity.peerId), undefined)
  })

  it('connects by address or id, and says in words why not', async () => {
    await using a = await member()
    await using b = await member()
    await using c = await member({ bootstrap: [a.address] })
    assert.ok((await b.network.connect(a.address, soon())).peer.equals(a.identity.peerId))
    assert.ok((await b.network.connect(a.identity.peerId.toString(), soon())).peer.equals(a.identity.peerId))
    await until('c joins', () => sees(c, a))
    assert.ok((await b.network.connect(c.identity.peerId.toString(), soon())).peer.equals(c.identity.peerId))
    for (const wrong of ['nonsense', '/ip4/1.2.3.4/tcp/1', '/nonsense/x', '']) await assert.rejects(b.network.connect(wrong, soon()), { name: 'NetworkConfigError', code: 'address' }, wrong)
    await assert.rejects(b.network.connect(b.address, soon()), { code: 'self' })
    const gone = a.address.replace(/\/tcp\/\d+\//, '/tcp/1/').replace(a.identity.peerId.toString(), '12D3KooWEChVMMMzV8acJ53mJHrw1pQ27UAGkCxWXLJutbeUMvVu')
    await assert.rejects(b.network.connect(gone, soon()), /ECONNREFUSED/)
    await assert.rejects(b.network.connect(gone, soon()), /ECONNREFUSED/, 'what the user gives is dialled each time')
  })
})

describe('integration: bans', () => {
  it('close connections at once, refuse new ones either way with the reason, survive a restart, and are lifted', async () => {
    await using first = await member()
    await using b = await member()
    await b.network.connect(first.address, soon())
    await until('both see each other', () => sees(first, b) && sees(b, first))
    const id = b.identity.peerId.toString()
    await first.network.ban(id, 'wrong results')
    await until('it is gone', () => !sees(first, b) && !sees(b, first))
    await assert.rejects(b.network.connect(first.address, soon()), /banned by this node/)
    await assert.rejects(first.network.connect(b.address, soon()), { code: 'access' })
    await using again = await first.restart()
    assert.deepEqual(again.network.bans().map(({ subject, reason }) => ({ subject, reason })), [{ subject: id, reason: 'wrong results' }])
    await assert.rejects(b.network.connect(again.address, soon()), /refused by .*banned by this node/)
    assert.deepEqual(again.network.peers(), [])
    assert.equal(await again.network.unban(id), true)
    assert.equal(await again.network.unban(id), false)
    await b.network.connect(again.address, soon())
    await until('it is back', () => sees(again, b))
  })

  it('of an operator hold for whichever node acts for it', async () => {
    await using a = await member()
    await using b = await member()
    await b.network.connect(a.address, soon())
    await until('both see each other', () => sees(a, b))
    await a.network.ban(b.identity.operator, '')
    await until('it is gone', () => !sees(b, a) && !sees(a, b))
    await assert.rejects(b.network.connect(a.address, soon()), /banned by this node/)
    await assert.rejects(a.network.connect(b.address, soon()), /banned by this node/)
  })

  it('close a connection that is still a stranger\'s', async () => {
    await using a = await member()
    await using other = await stranger()
    const connection = await other.host.dial(multiaddr(a.address))
    await until('it is connected', () => a.network.libp2p.getConnections().length === 1)
    await a.network.ban(other.id, '')
    if (connection.status === 'open') await pEvent(connection, 'close', { timeout: 5000 })
  })

  it('are refused for what is no peer', async () => {
    await using a = await member()
    await assert.rejects(a.network.ban('somebody', ''), { name: 'NetworkConfigError', code: 'access' })
    assert.deepEqual(a.network.bans(), [])
  })
})

describe('integration: allowed and denied', () => {
  it('peers pass hello as the lists say, whoever dials', async () => {
    await using b = await member()
    await using c = await member()
    await using a = await member({ allow: [b.identity.operator, c.identity.peerId.toString()], deny: [c.identity.operator] })
    await using other = await stranger()
    await b.network.connect(a.address, soon())
    await assert.rejects(c.network.connect(a.address, soon()), /on the list of peers this node denies/)
    await assert.rejects(a.network.connect(c.address, soon()), /on the list of peers this node denies/)
    const { code, reason } = await sayHello(other, a)
    assert.equal(code, VERDICT.access)
    assert.match(reason, /not on the list of peers this node allows/)
    assert.deepEqual(a.network.peers().map(({ peer }) => peer.toString()), [b.identity.peerId.toString()])
  })

  it('lists that name nobody are refused', async () => {
    await assert.rejects(member({ deny: ['somebody'] }), /peers denied: 'somebody'/)
  })
})

describe('integration: limits of connections', () => {
  it('a flood of strangers takes no member\'s place, and lets a newcomer in', async () => {
    await using a = await member()
    await using b = await member()
    await b.network.connect(a.address, soon())
    await until('b is a member', () => sees(a, b))
    const [, , host = '', , port] = a.address.split('/')
    const open = new Set<Socket>()
    // From several addresses, for one of them may open only so many a second.
    const flood = Array.from({ length: STRANGERS_MAX + 40 }, async (_, i) => {
      const socket = connect({ host, port: Number(port), localAddress: `127.0.0.${2 + i % 6}` })
      open.add(socket)
      socket.on('close', () => { open.delete(socket) })
      // To be cut off is what it is here for.
      socket.on('error', () => {})
      await pEvent(socket, 'connect', { rejectionEvents: ['close'] }).catch(() => undefined)
    })
    await Promise.all(flood)
    await until('the oldest made room', () => open.size <= STRANGERS_MAX)
    assert.ok(open.size > 0)
    await using c = await member()
    await c.network.connect(a.address, soon())
    await until('c is a member', () => sees(a, c) && sees(a, b))
    await until('c took a stranger\'s place', () => open.size < STRANGERS_MAX)
    for (const socket of open) socket.destroy()
  })
})

describe('integration: limits of members', () => {
  it('a few identities with all the connections each may have keep no newcomer out', async () => {
    await using a = await member()
    await using stack = new AsyncDisposableStack()
    const several = await Promise.all(Array.from({ length: INBOUND_MAX / PEER_CONNECTIONS_MAX }, async (_, i) => stack.use(await stranger(`127.0.0.${2 + i % 6}`))))
    for (let round = 0; round < PEER_CONNECTIONS_MAX; round++) await Promise.all(several.map(async one => { await sayHello(one, a) }))
    await until('they are members', () => a.network.peers().length === several.length)
    assert.equal(a.network.libp2p.getConnections().length, INBOUND_MAX)
    await using b = await member()
    await b.network.connect(a.address, soon())
    await until('b is a member', () => sees(a, b))
    assert.equal(a.network.peers().length, several.length + 1, 'nobody was closed but for what it had to spare')
  })
})

describe('integration: addresses heard from others', () => {
  it('are not dialled again and again when nobody answers as expected', async () => {
    let connections = 0
    const victim = createServer(socket => {
      connections++
      socket.on('error', () => {})
      socket.end('I am no peer\n')
    }).listen(0, '127.0.0.1')
    await pEvent(victim, 'listening')
    try {
      const { port } = victim.address() as AddressInfo
      await using a = await member()
      await using other = await stranger()
      const { peerStore } = a.network.libp2p
      await peerStore.merge(other.host.peerId, { multiaddrs: [multiaddr(`/ip4/127.0.0.1/tcp/${port}`)] })
      await assert.rejects(a.network.greet(other.host.peerId, soon()))
      assert.equal(connections, 1)
      await assert.rejects(a.network.greet(other.host.peerId, soon()), /did not answer lately/)
      await using another = await stranger()
      await peerStore.merge(another.host.peerId, { multiaddrs: [multiaddr(`/ip4/127.0.0.1/tcp/${port}`)] })
      await assert.rejects(a.network.greet(another.host.peerId, soon()), /did not answer lately/)
      assert.equal(connections, 1)
    } finally {
      victim.close()
    }
  })

  it('are no matter where this node was before: one that listens nowhere dials the members it remembers', async () => {
    await using a = await member()
    await using b = await member({ listen: [] })
    await b.network.connect(a.address, soon())
    await until('b remembers it', () => sees(b, a))
    await using again = await b.restart({ listen: [] })
    await until('it finds a', () => sees(again, a))
  })

  it('do not become allowed by somebody who came in from there', async () => {
    await using a = await member({ listen: ['/ip4/0.0.0.0/tcp/0'] })
    await using b = await member()
    await using c = await member()
    const port = a.network.libp2p.getMultiaddrs()[0]?.toString().split('/')[4] ?? ''
    await b.network.connect(`/ip4/127.0.0.1/tcp/${port}/p2p/${a.identity.peerId.toString()}`, soon())
    await until('a has a member on this machine', () => sees(a, b))
    await a.network.libp2p.peerStore.merge(c.identity.peerId, { multiaddrs: [multiaddr(c.address)] })
    await assert.rejects(a.network.greet(c.identity.peerId, soon()), /local network this node is not in/)
    await a.network.connect(c.address, soon())
    await using d = await member()
    await a.network.libp2p.peerStore.merge(d.identity.peerId, { multiaddrs: [multiaddr(d.address)] })
    await a.network.greet(d.identity.peerId, soon())
  })

  it('do not lead into a local network this node is not in', async () => {
    await using a = await member({ listen: ['/memory/away-from-home'] })
    await using b = await member()
    await a.network.libp2p.peerStore.merge(b.identity.peerId, { multiaddrs: [multiaddr(b.address)] })
    await assert.rejects(a.network.greet(b.identity.peerId, soon()), /local network this node is not in/)
    await a.network.connect(b.address, soon())
    assert.ok(sees(a, b), 'what the user gives is dialled')
  })
})
