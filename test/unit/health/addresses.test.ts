import assert from 'node:assert/strict'
import { bindAddresses, hostOf, reachable } from '../../../daemon/health/addresses.ts'

describe('addresses of beacons', () => {
  const hosts: Array<[address: string, host: string | undefined]> = [
    ['/ip4/192.0.2.7/tcp/4001', '192.0.2.7'],
    ['/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2', '192.0.2.7'],
    ['/ip6/2001:db8::1/tcp/4001', '2001:db8::1'],
    ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'fe80::1%eth0'],
    ['/dns4/example.org/tcp/1', undefined],
    ['/memory/a', undefined],
    ['/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2/p2p-circuit', undefined],
    ['/ip4/999.0.0.1/tcp/1', undefined],
    ['/ip6/192.0.2.7/tcp/1', undefined],
    ['undefined', undefined],
    ['', undefined]
  ]
  for (const [address, host] of hosts) it(`host of ${address === '' ? 'nothing' : address}`, () => { assert.equal(hostOf(address), host) })

  const binds: Array<[listen: string[], addresses: string[]]> = [
    [['/ip4/127.0.0.1/tcp/0'], ['127.0.0.1']],
    [['/ip6/::1/tcp/0'], ['::1']],
    [['/ip6/::1/tcp/0', '/ip4/127.0.0.1/tcp/0'], ['127.0.0.1']],
    [['/ip4/127.0.0.1/tcp/0', '/ip4/192.0.2.7/tcp/0'], ['::', '0.0.0.0']],
    [['/ip4/0.0.0.0/tcp/0'], ['::', '0.0.0.0']],
    [[], ['::', '0.0.0.0']]
  ]
  for (const [listen, addresses] of binds) it(`binds for ${JSON.stringify(listen)}`, () => { assert.deepEqual(bindAddresses(listen), addresses) })

  it('names hosts as the socket knows them', () => {
    assert.equal(reachable('192.0.2.7', 'udp4'), '192.0.2.7')
    assert.equal(reachable('192.0.2.7', 'udp6'), '::ffff:192.0.2.7')
    assert.equal(reachable('fe80::1%eth0', 'udp6'), 'fe80::1%eth0')
    assert.equal(reachable('2001:db8::1', 'udp4'), undefined)
    assert.equal(reachable('example.org', 'udp6'), undefined)
  })
})
