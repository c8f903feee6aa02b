import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { silentLog } from '../../../daemon/log.ts'
import { InboundConnections } from '../../../daemon/network/inbound.ts'

/** What the service uses of a connection. */
class Fake extends EventTarget {
  readonly remoteAddr = multiaddr('/ip4/9.9.9.9/tcp/1')
  readonly remotePeer: string
  readonly maConn = this
  readonly streams: Array<{ protocol: string }>
  readonly closes: boolean
  ended: string[] = []

  constructor (peer: string, protocols: string[] = [], closes = true) {
    super()
    this.remotePeer = peer
    this.streams = protocols.map(protocol => ({ protocol }))
    this.closes = closes
  }

  abort (): void { this.ended.push('abort') }

  async close (): Promise<void> {
    this.ended.push('close')
    if (!this.closes) throw new Error('the other side does not close its streams')
  }
}

const IDLE = ['', '/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0', '/ipfs/ping/1.0.0', '/weft/test/hello/1.0.0', '/weft/test/kad/1.0.0', '/weft/test/meshsub/1.2.0', '/weft/test/advert/1.0.0', '/weft/test/dialback/1.0.0']

function setUp (members: Fake[]): (one: Fake) => boolean {
  let now = 0
  const inbound = new InboundConnections({ network: 'test', open: false, log: silentLog, limits: { all: members.length, stayMs: 1 }, now: () => now++ })
  for (const member of members) {
    assert.ok(!inbound.denies(member as unknown as MultiaddrConnection))
    inbound.greeted(member as unknown as Connection)
  }
  return one => inbound.denies(one as unknown as MultiaddrConnection)
}

describe('network: inbound connections when all places are taken', () => {
  it('an idle one is closed in good order, and cut if that fails', async () => {
    for (const closes of [true, false]) {
      const member = new Fake('a', IDLE, closes)
      const denies = setUp([member])
      assert.ok(!denies(new Fake('n')))
      await setImmediate()
      assert.deepEqual(member.ended, closes ? ['close'] : ['close', 'abort'])
    }
  })

  it('one with a lease or a task stays, whatever else its peer has', async () => {
    for (const protocol of ['/weft/test/lease/1.0.0', '/weft/test/task/1.0.0', '/weft/other/kad/1.0.0']) {
      const [working, idle] = [new Fake('a', [...IDLE, protocol]), new Fake('b', IDLE)]
      const denies = setUp([idle, working])
      assert.ok(!denies(new Fake('n')))
      assert.deepEqual([working.ended, idle.ended], [[], ['close']])
      idle.dispatchEvent(new Event('close'))
    }
    const denies = setUp([new Fake('a', ['/weft/test/lease/1.0.0'])])
    assert.ok(denies(new Fake('n')))
  })
})
