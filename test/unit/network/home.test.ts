import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { multiaddr } from '@multiformats/multiaddr'
import { rangeOfIp } from '../../../daemon/network/address.ts'
import { HOME_REFRESH_MS, MET_SUBNETS_MAX } from '../../../daemon/network/constants.ts'
import { Home, type Interface } from '../../../daemon/network/home.ts'

const MACHINE: Interface[] = [
  { address: '127.0.0.1', prefix: 8 }, { address: '::1', prefix: 128 }, { address: '192.168.7.5', prefix: 24 }, { address: '172.17.0.1', prefix: 16 },
  { address: 'fd00:1:2:3::5', prefix: 64 }, { address: 'fe80::1', prefix: 64 }, { address: '169.254.3.4', prefix: 16 }, { address: '8.8.4.4', prefix: 24 }
]

function home (listen: string[], interfaces: readonly Interface[] = MACHINE): Home {
  return new Home({ listen: listen.map(address => multiaddr(address)), interfaces: () => interfaces })
}

function expect (of: Home, yes: string[], no: string[]): void {
  for (const ip of yes) assert.ok(of.has(ip), ip)
  for (const ip of no) assert.ok(!of.has(ip), ip)
}

describe('network: local networks this node is in', () => {
  it('are the subnets of the interfaces it listens on, of all when it listens nowhere; not the machine itself, nor link-local ones', () => {
    const [near, far] = [['192.168.7.77', '172.17.200.3', 'fd00:1:2:3::99'], ['192.168.8.1', '172.18.0.2', '10.0.0.1', '100.64.0.1', 'fd00:1:2:4::1', '127.0.0.1', '::1', '169.254.3.9', '169.254.169.254', 'fe80::2', '0.0.0.0', '224.0.0.1', '']]
    for (const listen of [[], ['/memory/x'], ['/ip4/0.0.0.0/tcp/0'], ['/ip6/::/tcp/0', '/ip4/127.0.0.1/tcp/0']]) expect(home(listen), near, far)
    expect(home(['/ip4/192.168.7.5/tcp/0']), ['192.168.7.77', '::ffff:192.168.7.77'], ['172.17.200.3', ...far])
    expect(home(['/ip4/8.8.4.4/tcp/0']), [], [...near, ...far])
  })

  it('are this machine for a network that is nowhere else', () => {
    expect(home(['/ip4/127.0.0.1/tcp/0', '/memory/x']), ['127.0.0.1', '127.9.9.9', '::1'], ['192.168.7.77'])
  })

  it('are looked for again: a machine moves, or gets its network late', () => {
    let [now, interfaces, looks]: [number, Interface[], number] = [0, [], 0]
    const moving = new Home({
      listen: [],
      now: () => now,
      interfaces: () => {
        looks++
        return interfaces
      }
    })
    assert.ok(!moving.has('192.168.7.77'))
    interfaces = MACHINE
    now = HOME_REFRESH_MS - 1
    assert.ok(!moving.has('192.168.7.77'))
    assert.equal(looks, 1)
    now = HOME_REFRESH_MS
    assert.ok(moving.has('192.168.7.77') && moving.isLocal('192.168.7.77'))
    interfaces = [{ address: '10.1.1.1', prefix: 24 }]
    now = 2 * HOME_REFRESH_MS
    assert.ok(moving.has('10.1.1.9') && !moving.has('192.168.7.77'))
    assert.equal(looks, 3)
  })

  it('are an overlay\'s where an interface has no more than its own address', () => {
    const overlay = home([], [{ address: '100.100.1.2', prefix: 32 }, { address: 'fd7a:115c:a1e0::1', prefix: 128 }])
    expect(overlay, ['100.64.3.4', 'fd7a:115c:a1e0:ab12::1'], ['10.0.0.1', 'fd7b::1'])
    expect(home([], [{ address: '9.9.9.9', prefix: 32 }]), [], ['10.0.0.1'])
  })

  it('grow by the subnet of a member that was reached, up to a number of them', () => {
    const away = home(['/ip4/8.8.4.4/tcp/0'])
    for (const ip of ['10.1.2.3', 'fd00:9::1', '127.0.0.1', '169.254.3.9', '9.9.9.9', '']) away.met(ip)
    expect(away, ['10.1.2.200', 'fd00:9::2', '127.0.0.1', '::1'], ['10.1.3.1', '169.254.3.8', 'fd00:9:0:1::1'])
    for (let i = 0; i < MET_SUBNETS_MAX; i++) away.met(`10.2.${i}.1`)
    expect(away, ['10.2.0.9', `10.2.${MET_SUBNETS_MAX - 1}.9`], ['10.1.2.3'])
  })

  it('are all of the machine\'s for what is told there; itself only where nothing else is listened on', () => {
    const local = (listen: string[]): boolean[] => ['192.168.7.77', '127.0.0.1', '10.0.0.1', '169.254.3.9', '9.9.9.9', ''].map(ip => home(listen).isLocal(ip))
    assert.deepEqual(local([]), [true, true, false, false, false, false])
    assert.deepEqual(local(['/ip4/127.0.0.1/tcp/0']), [true, true, false, false, false, false])
    assert.deepEqual(local(['/ip4/0.0.0.0/tcp/0']), [true, false, false, false, false, false])
  })

  it('are found on the machine this runs on', () => {
    const own = Object.values(networkInterfaces()).flatMap(list => list ?? []).map(({ address }) => address).filter(address => rangeOfIp(address) === 'private')
    expect(new Home({ listen: [] }), own, ['127.0.0.1'])
    expect(new Home({ listen: [multiaddr('/ip4/0.0.0.0/tcp/0')] }), own, ['127.0.0.1'])
  })
})
