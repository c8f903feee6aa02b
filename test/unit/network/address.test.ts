import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import * as fc from 'fast-check'
import { groupOf, hostOf, LOCAL_GROUP, rangeOf, rangeOfIp, withoutPeer, type AddressRange } from '../../../daemon/network/address.ts'

const PEER = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'

describe('network: addresses', () => {
  for (const [address, range] of [
    ['/ip4/127.0.0.1/tcp/1', 'loopback'], ['/ip4/127.255.0.9/tcp/1', 'loopback'], ['/ip6/::1/tcp/1', 'loopback'],
    ['/ip4/10.0.0.1/tcp/1', 'private'], ['/ip4/172.16.0.1/tcp/1', 'private'], ['/ip4/172.32.0.1/tcp/1', 'public'], ['/ip4/192.168.255.255/tcp/1', 'private'], ['/ip4/100.64.0.1/tcp/1', 'private'], ['/ip4/100.128.0.1/tcp/1', 'public'], ['/ip6/fd00::1/tcp/1', 'private'],
    ['/ip4/169.254.169.254/tcp/80', 'link-local'], ['/ip6/fe80::1/tcp/1', 'link-local'], ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'link-local'],
    ['/ip4/0.0.0.0/tcp/1', 'unusable'], ['/ip4/224.0.0.1/tcp/1', 'unusable'], ['/ip4/255.255.255.255/tcp/1', 'unusable'], ['/ip6/::/tcp/1', 'unusable'], ['/ip6/ff02::1/tcp/1', 'unusable'],
    ['/ip4/8.8.8.8/tcp/1', 'public'], ['/ip6/2001:4860:4860::8888/tcp/1', 'public'],
    ['/ip6/::ffff:127.0.0.1/tcp/1', 'loopback'], ['/ip6/::ffff:c0a8:1/tcp/1', 'private'], ['/ip6/::ffff:8.8.8.8/tcp/1', 'public'],
    ['/dns4/example.org/tcp/1', 'name'], ['/dnsaddr/example.org', 'name'], ['/memory/x', 'process']
  ] as Array<[string, AddressRange]>) {
    it(`knows ${address} as ${range}`, () => { assert.equal(rangeOf(multiaddr(address)), range) })
  }

  it('groups an IPv4 /24, an IPv6 /56, and everything that is not public', () => {
    const group = (address: string): string => groupOf(multiaddr(address))
    assert.equal(group('/ip4/8.8.8.8/tcp/1'), group('/ip4/8.8.8.200/tcp/9'))
    assert.notEqual(group('/ip4/8.8.8.8/tcp/1'), group('/ip4/8.8.9.8/tcp/1'))
    assert.equal(group('/ip6/2001:db8:1:100::1/tcp/1'), group('/ip6/2001:db8:1:1ff:2:3:4:5/tcp/1'))
    assert.notEqual(group('/ip6/2001:db8:1:100::1/tcp/1'), group('/ip6/2001:db8:1:200::1/tcp/1'))
    assert.equal(group('/ip6/::ffff:8.8.8.8/tcp/1'), group('/ip4/8.8.8.8/tcp/1'))
    for (const local of ['/ip4/127.0.0.1/tcp/1', '/ip4/10.1.2.3/tcp/1', '/ip6/fe80::1/tcp/1', '/memory/x']) assert.equal(group(local), LOCAL_GROUP)
  })

  it('groups any IPv6 address with all that share its first 56 bits, and no other', () => {
    const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 })
    fc.assert(fc.property(words, words, (a, b) => {
      const text = (list: number[]): string => list.map(word => word.toString(16)).join(':')
      // 2000::/3 is public.
      a[0] = 0x2000 + ((a[0] ?? 0) & 0xfff)
      const near = [...a.slice(0, 3), ((a[3] ?? 0) & 0xff00) | ((b[3] ?? 0) & 0xff), ...b.slice(4)]
      const far = [...a.slice(0, 3), (a[3] ?? 0) ^ 0x100, ...a.slice(4)]
      const group = (list: number[]): string => groupOf(multiaddr(`/ip6/${text(list)}/tcp/1`))
      assert.equal(group(near), group(a))
      assert.notEqual(group(far), group(a))
    }))
  })

  it('finds a range for whatever stands for an IP', () => {
    fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), ip => { assert.ok(typeof rangeOfIp(ip) === 'string') }))
    assert.equal(rangeOfIp('not an ip'), 'unusable')
  })

  it('takes the host and leaves the peer', () => {
    assert.deepEqual(hostOf(multiaddr(`/dns4/example.org/tcp/1/p2p/${PEER}`)), { name: 'example.org' })
    assert.deepEqual(hostOf(multiaddr('/memory/x')), {})
    assert.equal(withoutPeer(multiaddr(`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`)), '/ip4/1.2.3.4/tcp/1')
    assert.equal(withoutPeer(multiaddr('/ip4/1.2.3.4/tcp/1')), '/ip4/1.2.3.4/tcp/1')
  })
})
