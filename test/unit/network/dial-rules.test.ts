import assert from 'node:assert/strict'
import { UnexpectedPeerError } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { ADDRESSES_FAILED_MAX, REDIAL_FORGIVEN_MS, REDIAL_GOOD_MAX_MS, REDIAL_MAX_MS, REDIAL_MIN_MS } from '../../../daemon/network/constants.ts'
import { DialGuard, FailedDials, outcomeOf, type DialGuardInit } from '../../../daemon/network/dial-rules.ts'

const PEER = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'
const OTHER = '12D3KooWEChVMMMzV8acJ53mJHrw1pQ27UAGkCxWXLJutbeUMvVu'
const at = (address: string, peer = PEER): Multiaddr => multiaddr(`${address}/p2p/${peer}`)
const named = (name: string, message = 'x', code?: string): Error => Object.assign(new Error(message), { name }, code == null ? {} : { code })
const refused = named('Error', 'connection refused', 'ECONNREFUSED')

function guard (init: Partial<DialGuardInit> = {}): DialGuard {
  return new DialGuard({ listen: [], explicit: [], interfaces: () => [{ address: '127.0.0.1', prefix: 8 }, { address: '192.168.1.7', prefix: 24 }, { address: '8.8.4.4', prefix: 24 }], ...init })
}

describe('network: which addresses are dialled on a third party\'s word', () => {
  it('none in a local network this node is not in, on this machine or in a range that is nowhere', async () => {
    const away = guard({ listen: [multiaddr('/ip4/8.8.4.4/tcp/1')] })
    for (const address of ['/ip4/127.0.0.1/tcp/22', '/ip4/192.168.1.1/tcp/80', '/ip4/169.254.169.254/tcp/80', '/ip6/::ffff:10.0.0.1/tcp/80', '/ip4/0.0.0.0/tcp/80']) assert.ok(await away.denies(at(address)), address)
    assert.ok(!await away.denies(at('/ip4/9.9.9.9/tcp/4001')))
    for (const atHome of [guard(), guard({ listen: [multiaddr('/ip4/192.168.1.7/tcp/1')] })]) {
      assert.ok(!await atHome.denies(at('/ip4/192.168.1.1/tcp/4001')))
      for (const address of ['/ip4/127.0.0.1/tcp/4001', '/ip4/192.168.2.1/tcp/1', '/ip4/169.254.169.254/tcp/80', '/unix/var%2frun%2fdocker.sock']) assert.ok(await atHome.denies(at(address)), address)
      assert.ok(!await atHome.denies(at('/memory/x')))
    }
  })

  it('what the user gave, for as long as it is held, and nothing near it before a member answers there', async () => {
    const dials = guard({ explicit: [multiaddr('/ip4/10.1.1.1/tcp/1')] })
    assert.ok(!await dials.denies(at('/ip4/10.1.1.1/tcp/1')))
    assert.ok(await dials.denies(at('/ip4/10.1.1.2/tcp/1')))
    const [once, twice] = [dials.allow(at('/ip4/0.0.0.0/tcp/1')), dials.allow(at('/ip4/0.0.0.0/tcp/1', OTHER))]
    once()
    assert.ok(!await dials.denies(at('/ip4/0.0.0.0/tcp/1')))
    twice()
    assert.ok(await dials.denies(at('/ip4/0.0.0.0/tcp/1')))
    dials.met(at('/ip4/10.1.1.1/tcp/1'))
    assert.ok(!await dials.denies(at('/ip4/10.1.1.2/tcp/1')))
    assert.ok(await dials.denies(at('/ip4/10.1.2.2/tcp/1')))
  })

  it('on this machine where a member was reached', async () => {
    const dials = guard()
    assert.ok(await dials.denies(at('/ip4/127.0.0.1/tcp/1')))
    dials.met(multiaddr('/ip4/127.0.0.1/tcp/9'))
    assert.ok(!await dials.denies(at('/ip4/127.0.0.1/tcp/1')))
  })

  it('told on the local network: those in it, for as long as they are held, unless they failed lately', async () => {
    const dials = guard({ listen: [multiaddr('/ip4/127.0.0.1/tcp/1')], now: () => 0 })
    const [near, self, far] = [at('/ip4/192.168.1.9/tcp/1'), at('/ip4/127.0.0.1/tcp/1'), at('/ip4/10.0.0.1/tcp/1')]
    assert.ok(await dials.denies(near))
    const release = dials.allowLocal([near, self, far])
    assert.deepEqual([await dials.denies(near), await dials.denies(self), await dials.denies(far)], [false, false, true])
    dials.failed(near, refused)
    assert.ok(await dials.denies(near))
    dials.succeeded(near)
    assert.ok(!await dials.denies(near))
    release()
    assert.ok(await dials.denies(near))
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
  it('are held back twice as long each time, up to a limit, and forgiven with time', () => {
    const failed = new FailedDials()
    const address = at('/ip4/9.9.9.9/tcp/1')
    let now = 0
    const fails = (wait: number): void => {
      failed.failed(address, 'refused', now)
      assert.ok(failed.denies(address, now + wait - 1))
      assert.ok(!failed.denies(address, now + wait))
      now += wait
    }
    for (let count = 0; count < 40; count++) fails(Math.min(REDIAL_MAX_MS, REDIAL_MIN_MS * 2 ** count))
    now += 7 * REDIAL_FORGIVEN_MS
    fails(4 * REDIAL_MIN_MS)
    now += 100 * REDIAL_FORGIVEN_MS
    fails(REDIAL_MIN_MS)
    failed.failed(address, 'refused', now)
    failed.succeeded(address)
    assert.ok(!failed.denies(address, now))
  })

  it('let an address that answered before be dialled again soon', () => {
    const failed = new FailedDials()
    const address = at('/ip4/9.9.9.9/tcp/1')
    failed.succeeded(address)
    for (let i = 0; i < 20; i++) failed.failed(address, 'refused', 0)
    assert.ok(failed.denies(at('/ip4/9.9.9.9/tcp/1', OTHER), 1))
    assert.ok(!failed.denies(at('/ip4/9.9.9.9/tcp/1', OTHER), REDIAL_GOOD_MAX_MS))
  })

  it('under false names hold back these names, not an address where a libp2p peer is or was', () => {
    const [own, forged] = [at('/ip4/9.9.9.9/tcp/1'), at('/ip4/9.9.9.9/tcp/1', OTHER)]
    const never = new FailedDials()
    for (let i = 0; i < 100; i++) never.failed(forged, 'peer', 0)
    assert.deepEqual([never.denies(forged, 1), never.denies(own, 1)], [true, false])
    for (const outcome of ['peer', 'reached', 'silent'] as const) {
      const before = new FailedDials()
      before.succeeded(own)
      before.failed(forged, outcome, 0)
      assert.deepEqual([before.denies(forged, 1), before.denies(own, 1)], [true, false], outcome)
    }
  })

  it('keep a bystander from being dialled under one name after the other', () => {
    for (const outcome of ['reached', 'refused', 'silent'] as const) {
      const failed = new FailedDials()
      failed.failed(at('/ip4/7.7.7.7/tcp/22'), outcome, 0)
      assert.ok(failed.denies(at('/ip4/7.7.7.7/tcp/22', OTHER), 1), outcome)
    }
  })

  it('are remembered up to a number', () => {
    const failed = new FailedDials()
    for (let i = 0; i < ADDRESSES_FAILED_MAX; i++) failed.failed(at(`/ip4/9.${i >> 16}.${(i >> 8) & 255}.${i & 255}/tcp/1`), 'refused', 0)
    assert.equal(failed.size, ADDRESSES_FAILED_MAX)
  })

  it('are told apart', () => {
    assert.equal(outcomeOf(refused), 'refused')
    for (const name of ['AbortError', 'TimeoutError']) assert.equal(outcomeOf(named(name)), 'silent')
    for (const name of ['EncryptionFailedError', 'MuxerUnavailableError', 'Error']) assert.equal(outcomeOf(named(name)), 'reached')
    const { message } = new UnexpectedPeerError()
    for (const error of [new UnexpectedPeerError(), named('EncryptionFailedError', message), named('EncryptionFailedError', 'Payload identity key 1,2 does not match expected remote identity key 3,4')]) assert.equal(outcomeOf(error), 'peer')
  })
})
