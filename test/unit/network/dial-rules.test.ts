import assert from 'node:assert/strict'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import * as fc from 'fast-check'
import type { AddressRange } from '../../../daemon/network/address.ts'
import { ADDRESSES_FAILED_MAX, REDIAL_GOOD_MAX_MS, REDIAL_MAX_MS, REDIAL_MIN_MS } from '../../../daemon/network/constants.ts'
import { DialGuard, FailedDials, homeOf, mayDial, type DialGuardInit } from '../../../daemon/network/dial-rules.ts'

const PEER = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'
const OTHER = '12D3KooWEChVMMMzV8acJ53mJHrw1pQ27UAGkCxWXLJutbeUMvVu'
const at = (address: string, peer = PEER): Multiaddr => multiaddr(`${address}/p2p/${peer}`)
const refused = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' })
const stranger = new Error('another peer id')

function guard (init: Partial<DialGuardInit> & { listen?: Multiaddr[] } = {}): DialGuard {
  return new DialGuard({ listen: [], explicit: [], interfaces: ['127.0.0.1', '::1', '192.168.1.7', '8.8.4.4'], ...init })
}

describe('network: which addresses are dialled on a third party\'s word', () => {
  it('public ones always, unusable ones and names never, others from home only', () => {
    const ranges: AddressRange[] = ['loopback', 'private', 'link-local', 'public', 'unusable', 'name', 'process']
    fc.assert(fc.property(fc.constantFrom(...ranges), fc.subarray(ranges), (range, home) => {
      const may = mayDial(range, new Set(home))
      if (range === 'public') assert.ok(may)
      else if (range === 'unusable' || range === 'name') assert.ok(!may)
      else assert.equal(may, home.includes(range))
    }))
  })

  it('is at home where it listens; every interface does not include loopback', () => {
    const home = (...listen: string[]): string[] => [...homeOf(listen.map(address => multiaddr(address)), ['127.0.0.1', '192.168.1.7', 'fe80::1', '8.8.4.4'])].toSorted()
    assert.deepEqual(home(), ['process'])
    assert.deepEqual(home('/ip4/127.0.0.1/tcp/0'), ['loopback', 'process'])
    assert.deepEqual(home('/ip4/0.0.0.0/tcp/0'), ['link-local', 'private', 'process', 'public'])
    assert.deepEqual(home('/ip4/8.8.4.4/tcp/0', '/memory/x'), ['process', 'public'])
  })

  it('denies what points into a local network this node is not in', async () => {
    const away = guard({ listen: [multiaddr('/ip4/8.8.4.4/tcp/1')] })
    for (const address of ['/ip4/127.0.0.1/tcp/22', '/ip4/192.168.1.1/tcp/80', '/ip4/169.254.169.254/tcp/80', '/ip6/::ffff:10.0.0.1/tcp/80', '/ip4/0.0.0.0/tcp/80']) assert.ok(await away.denies(at(address)), address)
    assert.ok(!await away.denies(at('/ip4/9.9.9.9/tcp/4001')))
    const atHome = guard({ listen: [multiaddr('/ip4/192.168.1.7/tcp/1')] })
    assert.ok(!await atHome.denies(at('/ip4/192.168.1.1/tcp/4001')))
    assert.ok(await atHome.denies(at('/ip4/127.0.0.1/tcp/4001')))
  })

  it('allows what the user gave, for as long as it is held, and what is near it', async () => {
    const dials = guard({ explicit: [multiaddr('/ip4/192.168.1.1/tcp/1')] })
    assert.ok(!await dials.denies(at('/ip4/192.168.1.1/tcp/1')))
    assert.ok(!await dials.denies(at('/ip4/192.168.1.2/tcp/1')), 'it is on that network')
    const [once, twice] = [dials.allow(at('/ip4/0.0.0.0/tcp/1')), dials.allow(at('/ip4/0.0.0.0/tcp/1', OTHER))]
    once()
    assert.ok(!await dials.denies(at('/ip4/0.0.0.0/tcp/1')))
    twice()
    assert.ok(await dials.denies(at('/ip4/0.0.0.0/tcp/1')))
  })

  it('is at home where a member is connected', async () => {
    const dials = guard()
    assert.ok(await dials.denies(at('/ip4/127.0.0.1/tcp/1')))
    dials.met(multiaddr('/ip4/127.0.0.1/tcp/9'))
    assert.ok(!await dials.denies(at('/ip4/127.0.0.1/tcp/1')))
  })

  it('looks where a name points', async () => {
    const dials = guard({ resolve: async name => name === 'good.example' ? ['9.9.9.9'] : name === 'evil.example' ? ['9.9.9.9', '127.0.0.1'] : await Promise.reject(new Error('no such name')) })
    assert.ok(!await dials.denies(at('/dns4/good.example/tcp/1')))
    for (const name of ['evil.example', 'none.example']) assert.ok(await dials.denies(at(`/dns4/${name}/tcp/1`)), name)
  })

  it('holds back what did not answer, but not what the user gave', async () => {
    let now = 0
    const dials = guard({ now: () => now })
    const address = at('/ip4/9.9.9.9/tcp/1')
    dials.failed(address, refused)
    assert.ok(await dials.denies(address))
    assert.ok(await dials.denies(at('/ip4/9.9.9.9/tcp/1', OTHER)))
    const release = dials.allow(address)
    assert.ok(!await dials.denies(address))
    release()
    now += REDIAL_MIN_MS
    assert.ok(!await dials.denies(address))
  })
})

describe('network: dials that failed', () => {
  it('are held back twice as long each time, up to a limit', () => {
    const failed = new FailedDials()
    const address = at('/ip4/9.9.9.9/tcp/1')
    let now = 0
    for (let count = 0; count < 40; count++) {
      failed.failed(address, false, now)
      const wait = Math.min(REDIAL_MAX_MS, REDIAL_MIN_MS * 2 ** count)
      assert.ok(failed.denies(address, now + wait - 1))
      assert.ok(!failed.denies(address, now + wait))
      now += wait
    }
    failed.succeeded(address)
    assert.ok(!failed.denies(address, now))
  })

  it('let an address that answered before be dialled again soon', () => {
    const failed = new FailedDials()
    const address = at('/ip4/9.9.9.9/tcp/1')
    failed.succeeded(address)
    for (let i = 0; i < 20; i++) failed.failed(address, false, 0)
    assert.ok(!failed.denies(at('/ip4/9.9.9.9/tcp/1', OTHER), REDIAL_GOOD_MAX_MS))
  })

  it('under a false name hold back that name, not the address of a member', () => {
    const failed = new FailedDials()
    const [own, forged] = [at('/ip4/9.9.9.9/tcp/1'), at('/ip4/9.9.9.9/tcp/1', OTHER)]
    failed.succeeded(own)
    failed.failed(forged, true, 0)
    assert.ok(failed.denies(forged, 1))
    assert.ok(!failed.denies(own, 1))
    failed.failed(at('/ip4/7.7.7.7/tcp/22'), true, 0)
    assert.ok(failed.denies(at('/ip4/7.7.7.7/tcp/22', OTHER), 1), 'a victim is not dialled under one name after the other')
  })

  it('are remembered up to a number', () => {
    const failed = new FailedDials()
    for (let i = 0; i < ADDRESSES_FAILED_MAX; i++) failed.failed(at(`/ip4/9.${i >> 16}.${(i >> 8) & 255}.${i & 255}/tcp/1`), false, 0)
    assert.equal(failed.size, ADDRESSES_FAILED_MAX)
  })

  it('are told from peers that answered under another name', async () => {
    const dials = guard({ now: () => 0 })
    dials.succeeded(at('/ip4/9.9.9.9/tcp/1'))
    dials.failed(at('/ip4/9.9.9.9/tcp/1', OTHER), stranger)
    assert.ok(!await dials.denies(at('/ip4/9.9.9.9/tcp/1')))
    dials.failed(at('/ip4/9.9.9.9/tcp/1', OTHER), Object.assign(new Error('aborted'), { name: 'AbortError' }))
    assert.ok(await dials.denies(at('/ip4/9.9.9.9/tcp/1')))
  })
})
