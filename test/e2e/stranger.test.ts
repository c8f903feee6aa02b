/** What a real daemon of a private network gives to who does not know its secret, and to a member of another network: nothing. */
import assert from 'node:assert/strict'
import { identify, type Identify } from '@libp2p/identify'
import type { Connection, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { STREAM_WINDOW_INITIAL_BYTES } from '../../daemon/network/constants.ts'
import { PrivateNetwork } from '../fixtures/private-network.ts'

/** Requests that members are answered: FIND_NODE, "tell me your advert", and so on by the same two forms; whatever is not understood is garbage. */
const REQUESTS = [Uint8Array.of(6, 0x08, 0x04, 0x12, 0x02, 0x01, 0x02), Uint8Array.of(2, 0x08, 0x00)]

describe('end to end: strangers of a private network', function () {
  this.timeout(60_000)
  const network = new PrivateNetwork()
  const other = new PrivateNetwork()

  after(async () => { await Promise.all([network.remove(), other.remove()]) })

  it('no protocol that the daemon names is served, and the connection is closed', async () => {
    const member = await network.member()
    const { multiaddrs, network: name } = await network.start(member)
    const host: Libp2p<{ identify: Identify }> = await createLibp2p({
      addresses: { listen: [] },
      transports: [tcp()],
      connectionEncrypters: [tls()],
      streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES } })],
      connectionMonitor: { enabled: false },
      connectionGater: { denyDialMultiaddr: () => false },
      services: { identify: identify({ runOnConnectionOpen: false }) }
    })
    try {
      const connection = await host.dial(multiaddr(multiaddrs[0]))
      const closed = pEvent(connection, 'close', { timeout: 30_000 })
      const { protocols } = await host.services.identify.identify(connection)
      const served = protocols.filter(protocol => protocol.startsWith('/weft/') && !protocol.includes('/hello/'))
      for (const part of ['kad', 'meshsub', 'advert', 'lease', 'task', 'dialback']) assert.ok(served.some(protocol => protocol.startsWith(`/weft/${name}/${part}/`)), `${part} is not among ${served.join(' ')}`)
      const answers = served.flatMap(protocol => REQUESTS.map(async request => [protocol, await answered(connection, protocol, request)] as const))
      await closed
      for (const [protocol, bytes] of await Promise.all(answers)) assert.equal(bytes, 0, protocol)
    } finally {
      await host.stop()
    }
  })

  it('a daemon of another network on the same machine gets no further than hello', async () => {
    const [first] = network.members
    const second = await other.member()
    await other.start(second)
    const { multiaddrs } = first!.status!
    await assert.rejects(other.weft(second, 'peers', 'connect', multiaddrs[0]!), /no member of network|speaks no hello|another network/)
    for (const [where, who] of [[network, first!], [other, second]] as const) {
      const { peers } = await where.weft<{ peers: unknown[] }>(who, 'peers', 'list')
      assert.deepEqual(peers, [])
    }
  })
})

/** Bytes that come back on a stream of this protocol before it ends; a stream that is not opened gives none. */
async function answered (connection: Connection, protocol: string, request: Uint8Array): Promise<number> {
  let received = 0
  const stream = await connection.newStream(protocol).catch(() => undefined)
  if (stream == null) return 0
  stream.addEventListener('message', ({ data }) => { received += data.byteLength })
  const closed = pEvent(stream, 'close')
  stream.send(request)
  await closed
  return received
}
