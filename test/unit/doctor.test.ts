import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { deepChecks } from '../../cli/lib/doctor-deep.ts'
import { offlineChecks } from '../../cli/lib/doctor-offline.ts'
import { partialPath } from '../../daemon/block-convert/output-paths.ts'
import { encodeRecord, encodeResult, recordKey, resultKey } from '../../daemon/coordinator/journal-entries.ts'
import { resultEntry } from '../fixtures/result-entry.ts'
import { openDataDir, type DataDir } from '../../daemon/store/index.ts'
import { loadOrCreateIdentity } from '../../daemon/trust/index.ts'
import { report } from './gateway/fake-node.ts'
import { BOOTSTRAP_TRIED_MAX, chooseNeighbours, examine, NEIGHBOURS_ASKED_MAX, type DoctorParts } from '../../daemon/doctor.ts'
import { ADVERT_OLD_MS, checksOf, CLOCK_REFUSED_MS, CLOCK_WARNING_MS, DISK_FULL_BYTES, DISK_LOW_BYTES, LOOP_WARNING_MS, SETTLING_SECONDS, STORE_LOW_BYTES, type DialbackFact, type DoctorFacts } from '../../daemon/doctor-checks.ts'
import { decideAvailability, type AvailabilityPolicy } from '../../daemon/executor/availability.ts'
import { BUSY_WINDOW_MS } from '../../daemon/executor/constants.ts'
import * as registry from '../../daemon/dht-registry/constants.ts'
import * as memory from '../../daemon/dht-registry/memory-constants.ts'
import type { DoctorCheck, NodeStatus } from '../../daemon/gateway/index.ts'
import * as market from '../../daemon/market/constants.ts'
import * as network from '../../daemon/network/constants.ts'
import * as gossip from '../../daemon/network/gossip-constants.ts'
import * as dialback from '../../daemon/network/dialback-constants.ts'
import * as task from '../../daemon/task-protocol/constants.ts'
import * as trust from '../../daemon/trust/constants.ts'

const PEERS = ['12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK', '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN'] as const
const NAMES = ['state', 'version', 'disk', 'block store', 'listen', 'bootstrap', 'peers', 'dht', 'reachability', 'beacon', 'clock', 'engines', 'converters', 'availability', 'advert', 'event loop']

const reached: DialbackFact = { observed: '/ip4/192.0.2.7/tcp/50000', answers: [{ address: '/ip4/127.0.0.1/tcp/4001', outcome: 'not-tried', reason: 'another IP address' }, { address: `/ip4/192.0.2.7/tcp/4001/p2p/${PEERS[0]}`, outcome: 'reachable', reason: '' }], clockAheadMs: 5 }
const unreached = (outcome: DialbackFact['answers'][number]['outcome'], reason = 'why'): DialbackFact => ({ observed: '/ip4/192.0.2.7/tcp/50000', answers: [{ address: '/ip4/192.0.2.7/tcp/4001', outcome, reason }] })

/** A healthy member of a private network. */
const healthy: DoctorFacts = {
  version: '0.1.0', runtime: 'v24.0.0', state: 'ready', uptimeSeconds: 600, works: true, privateNetwork: true, mdns: true,
  listen: [`/ip4/127.0.0.1/tcp/4001/p2p/${PEERS[0]}`, `/ip4/192.0.2.7/tcp/4001/p2p/${PEERS[0]}`],
  bootstrap: [{ address: `/ip4/192.0.2.8/tcp/4001/p2p/${PEERS[1]}` }],
  peers: 3, dhtPeers: 3, dataDir: '/data', freeBytes: 1e11, dialbacks: [reached, reached, reached], clocks: [5, -20, 12],
  engines: { slots: 4, bwrap: true, rlimits: true, sandbox: 'auto' }, advert: { ageMs: 60_000, converters: 12, draining: false }, loopDelayMs: 3, agents: ['weft/0.1.0'],
  store: { bytes: 5e9, blocks: 12, quotaBytes: 5e10, reserveBytes: 268_435_456, leftBytes: 4.5e10 }, availability: { slots: 4, paused: false }, converters: { offered: 12, off: [] },
  liveness: { beacon: 'on', port: 40_000, watched: 2, byBeacon: 2, suspect: 0, sendFailures: 0, ownHealth: 0 }
}

const check = (name: string, changes: Partial<DoctorFacts>): DoctorCheck => {
  const found = checksOf({ ...healthy, ...changes }).find(one => one.name === name)
  assert.ok(found != null)
  return found
}
const stateOf = (name: string, changes: Partial<DoctorFacts>): string => check(name, changes).state

describe('doctor', () => {
  it('finds nothing wrong with a healthy node', () => {
    const checks = checksOf(healthy)
    assert.deepEqual(checks.map(({ name }) => name), NAMES)
    assert.deepEqual(checks.filter(({ state }) => state !== 'ok'), [])
    assert.equal(check('reachability', {}).says, '3 of 3 neighbours reached /ip4/192.0.2.7/tcp/4001')
  })

  it('says what to do about everything that is not in order, whatever the facts', () => {
    const outcome = fc.constantFrom('reachable', 'foreign', 'refused', 'timeout', 'unreachable', 'not-tried')
    const address = fc.constantFrom('/ip4/127.0.0.1/tcp/1', '/ip4/192.0.2.7/tcp/4001', '/ip6/::1/tcp/2', '/dns4/x.example/tcp/5', '')
    const dialback = fc.record({ observed: address, answers: fc.array(fc.record({ address, outcome, reason: fc.constantFrom('', 'why') }), { maxLength: 4 }), clockAheadMs: fc.integer(), failure: fc.constant('busy') }, { requiredKeys: ['observed', 'answers'] })
    const facts = fc.record({
      version: fc.constant('0.1.0'), runtime: fc.constant('v24.0.0'), state: fc.constantFrom('starting', 'ready', 'draining', 'stopping'), uptimeSeconds: fc.nat(), works: fc.boolean(), privateNetwork: fc.boolean(), mdns: fc.boolean(),
      listen: fc.array(address.filter(text => text !== ''), { maxLength: 3 }), bootstrap: fc.array(fc.record({ address, problem: fc.string({ unit: 'binary' }) }, { requiredKeys: ['address'] }), { maxLength: 3 }),
      peers: fc.nat(5), dhtPeers: fc.nat(5), dataDir: fc.constant('/data'), freeBytes: fc.nat(), dialbacks: fc.array(dialback, { maxLength: 3 }), clocks: fc.array(fc.integer(), { maxLength: 3 }),
      engines: fc.record({ slots: fc.nat(64), bwrap: fc.boolean(), rlimits: fc.boolean(), sandbox: fc.constantFrom('auto', 'require', 'off') }),
      advert: fc.record({ ageMs: fc.integer(), converters: fc.nat(), draining: fc.boolean() }), loopDelayMs: fc.nat(), agents: fc.array(fc.constantFrom('weft/9.0.0', 'weft/0.0.1', 'other', 'weft/1.x.2')),
      store: fc.record({ bytes: fc.nat(), blocks: fc.nat(), quotaBytes: fc.nat(), reserveBytes: fc.nat(), leftBytes: fc.nat() }),
      availability: fc.record({ slots: fc.nat(8), paused: fc.boolean(), reason: fc.constantFrom('on battery', 'outside its hours', 'a new reason\nof two lines') }, { requiredKeys: ['slots', 'paused'] }),
      converters: fc.record({ offered: fc.nat(3), off: fc.array(fc.constantFrom('table/a', 'image/b'), { maxLength: 9 }) }),
      liveness: fc.record({ beacon: fc.constantFrom('off', 'resting', 'starting', 'on'), port: fc.nat(), watched: fc.nat(3), byBeacon: fc.nat(3), suspect: fc.nat(), sendFailures: fc.nat(2), ownHealth: fc.nat(4) }, { requiredKeys: ['beacon', 'watched', 'byBeacon', 'suspect', 'sendFailures', 'ownHealth'] })
    }, { requiredKeys: ['converters', 'liveness', 'version', 'runtime', 'state', 'uptimeSeconds', 'works', 'privateNetwork', 'mdns', 'listen', 'bootstrap', 'peers', 'dhtPeers', 'dataDir', 'dialbacks', 'clocks', 'engines', 'loopDelayMs', 'agents'] })
    fc.assert(fc.property(facts, arbitrary => {
      const checks = checksOf(arbitrary as DoctorFacts)
      assert.deepEqual(checks.map(({ name }) => name), NAMES)
      for (const { name, state, says, mend } of checks) {
        assert.ok(says.length > 0 && !/undefined|NaN|\n/.test(says), `${name}: ${says}`)
        assert.equal(mend != null && mend.length > 0, state !== 'ok', name)
      }
    }), { numRuns: 200 })
  })

  it('knows a disk that fills', () => {
    assert.deepEqual([DISK_LOW_BYTES, DISK_LOW_BYTES - 1, DISK_FULL_BYTES - 1].map(freeBytes => stateOf('disk', { freeBytes })), ['ok', 'warning', 'failed'])
    const { freeBytes: _, ...unknown } = healthy
    assert.equal(checksOf(unknown).find(({ name }) => name === 'disk')?.state, 'failed')
  })

  it('knows a block store that fills, and whether it is the quota or the disk that ends it', () => {
    const store = healthy.store!
    const full = (changes: Partial<typeof store>): DoctorCheck => check('block store', { store: { ...store, ...changes } })
    assert.deepEqual([STORE_LOW_BYTES, STORE_LOW_BYTES - 1, 0].map(leftBytes => full({ leftBytes }).state), ['ok', 'warning', 'failed'])
    assert.equal(full({ quotaBytes: 1e9, bytes: 8e8, leftBytes: 2e8 }).state, 'ok', 'small because it is meant to be')
    assert.match(full({ bytes: store.quotaBytes, leftBytes: 0 }).mend ?? '', /raise store\.quotaBytes/)
    assert.match(full({ leftBytes: 0 }).mend ?? '', /make room on that disk/)
    const { store: _, ...unknown } = healthy
    assert.equal(checksOf(unknown).find(({ name }) => name === 'block store')?.state, 'failed')
  })

  it('says whether UDP gets through, as soon as that can be known', () => {
    const beacon = (changes: Partial<DoctorFacts['liveness']>): DoctorCheck => check('beacon', { liveness: { ...healthy.liveness, ...changes } })
    assert.equal(beacon({}).says, 'UDP port 40000: 2 of 2 peers at work with this node heard')
    assert.deepEqual([beacon({ byBeacon: 0 }), beacon({ byBeacon: 1 }), beacon({ watched: 0, byBeacon: 0 }), beacon({ beacon: 'resting' }), beacon({ beacon: 'off' }), beacon({ beacon: 'starting' })].map(({ state }) => state), ['warning', 'ok', 'ok', 'ok', 'ok', 'warning'])
    assert.match(beacon({ byBeacon: 0 }).mend ?? '', /liveness\.port/)
    assert.match(beacon({ sendFailures: 3 }).says, /3 packets could not be sent/)
  })

  it('says which setting makes a node do less for others, without finding fault with it', () => {
    // What the executor says of itself, not what this test would have it say.
    const samples = [0, BUSY_WINDOW_MS].map(at => ({ at, busyMs: 4 * at, ownMs: 0, onBattery: true }))
    const reasoned = (policy: Partial<AvailabilityPolicy>): NonNullable<DoctorFacts['availability']> => {
      const { slots, paused, reason = '' } = decideAvailability(samples, { slots: 4, cores: 4, cpuShare: 1, idleOnly: false, battery: 'any', open: () => true, ...policy }, { monotonic: BUSY_WINDOW_MS, utc: 0 }, undefined)
      return { slots, paused, reason }
    }
    const cases: Array<[NonNullable<DoctorFacts['availability']>, RegExp]> = [
      [reasoned({ open: () => false }), /no new work of others: outside its hours \(policy\.hours\)/],
      [reasoned({ battery: 'mains' }), /stopped: on battery \(policy\.battery\)/],
      [reasoned({ idleOnly: true }), /\(policy\.idleOnly\)/],
      [reasoned({ cpuShare: 0.25 }), /1 of 4 slots for others: 25 % of the processor \(policy\.cpuShare\)/]
    ]
    for (const [availability, expected] of cases) {
      assert.match(check('availability', { availability }).says, expected)
      assert.equal(stateOf('availability', { availability }), 'ok')
    }
    assert.equal(stateOf('advert', { advert: { ...healthy.advert!, draining: true }, availability: { slots: 0, paused: false, reason: 'outside its hours' } }), 'ok')
    assert.equal(stateOf('converters', { converters: { offered: 0, off: ['table/a'] } }), 'warning')
    assert.match(check('converters', { converters: { offered: 1, off: ['table/a'] } }).says, /^1 of 2; not table\/a/)
  })

  it('names the configuration to change where a private network listens on loopback', () => {
    const { state, mend } = check('listen', { listen: ['/ip4/127.0.0.1/tcp/4005'] })
    assert.equal(state, 'warning')
    assert.match(mend ?? '', /^weft config set listen \/ip4\/0\.0\.0\.0\/tcp\/4005 /)
    assert.equal(stateOf('listen', { listen: [] }), 'warning')
    // A test network on one machine.
    assert.equal(stateOf('listen', { listen: ['/ip4/127.0.0.1/tcp/4005'], privateNetwork: false, bootstrap: [{ address: '/ip4/127.0.0.1/tcp/1/p2p/x' }] }), 'ok')
    assert.equal(stateOf('listen', { listen: ['/ip4/127.0.0.1/tcp/4005'], privateNetwork: false }), 'warning')
  })

  it('fails where no bootstrap address answers and nobody is there, and warns where others are', () => {
    const silent = [{ address: '/ip4/192.0.2.8/tcp/1/p2p/x', problem: 'no answer in time' }]
    assert.deepEqual([0, 2].map(peers => stateOf('bootstrap', { bootstrap: silent, peers })), ['failed', 'warning'])
    assert.equal(stateOf('bootstrap', { bootstrap: silent, peers: 0, uptimeSeconds: SETTLING_SECONDS - 1 }), 'warning')
    assert.equal(stateOf('bootstrap', { bootstrap: [...silent, ...healthy.bootstrap], peers: 0 }), 'warning')
    assert.equal(check('bootstrap', { bootstrap: [...silent, ...healthy.bootstrap] }).says, '1 of 2 addresses connected; /ip4/192.0.2.8/tcp/1/p2p/x: no answer in time')
    assert.equal(stateOf('bootstrap', { bootstrap: [] }), 'ok')
  })

  it('tells a lonely node how others come', () => {
    assert.match(check('peers', { peers: 0 }).mend ?? '', /weft invite.*weft join/)
    assert.match(check('peers', { peers: 0, privateNetwork: false }).mend ?? '', /weft config set bootstrap/)
    assert.equal(stateOf('dht', { dhtPeers: 0 }), 'warning')
    assert.equal(stateOf('dht', { dhtPeers: 0, peers: 0 }), 'ok')
  })

  it('names the likely cause where neighbours do not get through', () => {
    const cases: Array<[DialbackFact['answers'][number]['outcome'], RegExp]> = [['refused', /refuses TCP port 4001/], ['timeout', /drops TCP port 4001.*NAT/], ['foreign', /another program or machine/], ['unreachable', /no route/]]
    for (const [outcome, expected] of cases) {
      const { state, says, mend } = check('reachability', { dialbacks: [unreached(outcome), reached, unreached(outcome)] })
      assert.equal(state, 'warning')
      assert.match(says, /^1 of 3 neighbours reached \/ip4\/192\.0\.2\.7\/tcp\/4001: why$/)
      assert.match(mend ?? '', expected)
    }
    assert.equal(check('reachability', { dialbacks: [unreached('timeout')] }).says, '0 of 1 neighbour reached /ip4/192.0.2.7/tcp/4001: why')
    assert.equal(stateOf('reachability', { dialbacks: [unreached('timeout'), reached] }), 'ok')
    assert.match(check('reachability', { dialbacks: [unreached('not-tried', 'another IP address than 192.0.2.7')] }).says, /seen at \/ip4\/192\.0\.2\.7\/tcp\/50000: another IP address/)
    assert.match(check('reachability', { dialbacks: [{ observed: '', answers: [], failure: 'it is busy' }] }).says, /it is busy/)
    assert.equal(stateOf('reachability', { peers: 0, dialbacks: [] }), 'ok')
    // A neighbour that could not be asked says nothing for or against.
    assert.equal(check('reachability', { dialbacks: [{ observed: '', answers: [], failure: 'it is busy' }, reached] }).says, '1 of 1 neighbour reached /ip4/192.0.2.7/tcp/4001')
  })

  it('compares clocks by what most neighbours say', () => {
    assert.equal(stateOf('clock', { clocks: [] }), 'ok')
    assert.equal(stateOf('clock', { clocks: [0, 1, 10 * CLOCK_REFUSED_MS] }), 'ok')
    assert.match(check('clock', { clocks: [CLOCK_WARNING_MS, CLOCK_WARNING_MS] }).says, /^behind those of 2 neighbours by 30 s$/)
    assert.equal(stateOf('clock', { clocks: [-CLOCK_REFUSED_MS, -CLOCK_REFUSED_MS, 0] }), 'failed')
    assert.match(check('clock', { clocks: [-CLOCK_REFUSED_MS] }).says, /^ahead of that of the neighbour asked/)
  })

  it('sees to the sandbox, the advert, the event loop and the version', () => {
    const engines = healthy.engines
    assert.match(check('engines', { engines: { ...engines, bwrap: false } }).mend ?? '', /bubblewrap/)
    assert.match(check('engines', { engines: { ...engines, bwrap: false, sandbox: 'off' } }).mend ?? '', /executor\.sandbox auto/)
    const { advert, ...without } = healthy
    assert.equal(checksOf(without).find(({ name }) => name === 'advert')?.state, 'failed')
    assert.equal(checksOf({ ...without, works: false }).find(({ name }) => name === 'advert')?.state, 'ok')
    assert.equal(stateOf('advert', { advert: { ...advert!, ageMs: ADVERT_OLD_MS + 1 } }), 'failed')
    assert.equal(stateOf('advert', { advert: { ...advert!, draining: true } }), 'warning')
    assert.equal(stateOf('event loop', { loopDelayMs: LOOP_WARNING_MS }), 'warning')
    assert.equal(stateOf('state', { state: 'draining' }), 'warning')
    assert.match(check('version', { agents: ['weft/0.0.9', 'weft/0.10.0'] }).says, /a neighbour runs 0\.10\.0/)
    assert.doesNotMatch(check('version', { agents: ['weft/0.1.0', 'weft/0.0.99', 'other/9.9.9'] }).says, /neighbour/)
  })

  it('asks neighbours on different machines first', () => {
    const at = (...addresses: string[]): string[] => chooseNeighbours(addresses.map(address => ({ address }))).map(({ address }) => address)
    assert.deepEqual(at('/ip4/127.0.0.1/tcp/1', '/ip4/192.0.2.1/tcp/1', '/ip4/192.0.2.1/tcp/2', '/ip4/192.0.2.2/tcp/1'), ['/ip4/192.0.2.1/tcp/1', '/ip4/192.0.2.2/tcp/1', '/ip4/127.0.0.1/tcp/1'])
    assert.deepEqual(at('/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'), ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'])
    assert.equal(at(...Array.from({ length: 9 }, (_, i) => `/ip4/192.0.2.${i}/tcp/1`)).length, NEIGHBOURS_ASKED_MAX)
  })
})

describe('doctor: gathering the facts', () => {
  const signal = AbortSignal.timeout(10_000)
  const [self, other] = PEERS.map(id => peerIdFromString(id)) as [ReturnType<typeof peerIdFromString>, ReturnType<typeof peerIdFromString>]

  function parts (changes: Partial<DoctorParts> = {}): { parts: DoctorParts, dialled: string[] } {
    const dialled: string[] = []
    const status: NodeStatus = {
      version: '0.1.0', peerId: self.toString(), operator: 'did:key:x', network: 'net', multiaddrs: ['/ip4/192.0.2.7/tcp/4001'], api: '', state: 'ready', peers: 1, uptimeSeconds: 100,
      executor: { slots: 2, busy: 0, bwrap: true, rlimits: true }, load: { leases: 0, active: 0, jobs: 0 }, pid: 1, dataDir: tmpdir()
    }
    const greeted = { peer: other, connection: { remoteAddr: multiaddr('/ip4/192.0.2.8/tcp/4001') }, hello: { agent: 'weft/0.1.0' } }
    const now = 1_000_000
    return {
      dialled,
      parts: {
        status: () => status,
        network: {
          peers: () => [greeted] as never,
          dhtPeers: () => 1,
          connect: async address => {
            dialled.push(address)
            throw new Error('connection refused')
          }
        },
        registry: { view: () => [{ source: 'self', seen: now, advert: { issued: now - 1000, converters: [{}], draining: false } }, { source: 'direct', seen: now, advert: { issued: now + 400_000 } }] as never },
        dialback: { ask: async () => reached },
        loopDelay: { worst: () => 1 },
        monitor: { status: () => healthy.liveness },
        blocks: { usage: async () => healthy.store! },
        converters: () => [{ id: 'table/a', offered: true }, { id: 'table/b', offered: false }],
        settings: { works: true, privateNetwork: true, mdns: true, bootstrap: [`/ip4/192.0.2.8/tcp/4001/p2p/${other.toString()}`], sandbox: 'auto' },
        now: () => now,
        ...changes
      }
    }
  }

  it('finds a healthy node healthy, and dials no bootstrap peer that is connected', async () => {
    const made = parts()
    const { checks } = await examine(made.parts, { signal })
    // How full the disk of the machine is that runs this is no matter.
    assert.deepEqual(checks.filter(({ state, name }) => state !== 'ok' && name !== 'disk'), [])
    assert.deepEqual(made.dialled, [])
  })

  it('learns why bootstrap peers are silent, of a few of them, and never of itself', async () => {
    const bootstrap = Array.from({ length: 8 }, (_, i) => `/ip4/192.0.2.${i}/tcp/1/p2p/12D3KooWLost${i}`)
    const made = parts({ settings: { works: true, privateNetwork: true, mdns: true, sandbox: 'auto', bootstrap: [`/ip4/192.0.2.7/tcp/4001/p2p/${self.toString()}`, ...bootstrap] } })
    const { checks } = await examine(made.parts, { signal })
    assert.equal(made.dialled.length, BOOTSTRAP_TRIED_MAX)
    assert.match(checks.find(({ name }) => name === 'bootstrap')?.says ?? '', /^0 of 8 addresses connected; .*: connection refused$/)
  })

  it('finds what could not be learned, instead of failing itself', async () => {
    const { checks } = await examine(parts({ blocks: { usage: async () => { throw new Error('EIO') } } }).parts, { signal })
    assert.equal(checks.find(({ name }) => name === 'block store')?.state, 'failed')
    assert.match(checks.find(({ name }) => name === 'converters')?.says ?? '', /^1 of 2; not table\/b/)
  })

  it('takes the clocks of adverts where nobody dialled back', async () => {
    const made = parts({ dialback: { ask: async () => ({ observed: '', answers: [], failure: 'it is busy' }) } })
    const { checks } = await examine(made.parts, { signal })
    assert.equal(checks.find(({ name }) => name === 'clock')?.state, 'failed')
  })
})

describe('doctor without a daemon', () => {
  let folder: string
  let home: string
  const stateIn = (checks: DoctorCheck[], name: string): string | undefined => checks.find(one => one.name === name)?.state

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-doctor-'))
    home = join(folder, 'home')
  })

  afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

  async function withDir (use: (dir: DataDir) => Promise<void>): Promise<void> {
    await using dir = await openDataDir(home)
    await use(dir)
  }

  async function configFile (text: string): Promise<string> {
    const path = join(folder, 'config.json')
    await writeFile(path, text)
    return path
  }

  it('finds no fault with a node that was just made, or not made yet, and makes nothing', async () => {
    const config = await configFile('{"network": "net-1"}')
    const none = await offlineChecks(home, config)
    assert.deepEqual(none.map(({ name, state }) => [name, state]), [['configuration', 'ok'], ['data directory', 'warning'], ['daemon', 'warning']])
    assert.deepEqual(await readdir(folder), ['config.json'])
    await withDir(async dir => { await loadOrCreateIdentity(dir, { network: 'net-1' }) })
    const made = await offlineChecks(home, config)
    assert.deepEqual(made.filter(({ state, name }) => state !== 'ok' && name !== 'disk').map(({ name }) => name), ['daemon'])
    assert.deepEqual((await deepChecks(home)).map(({ state }) => state), ['ok', 'ok', 'ok', 'ok'])
  })

  it('finds a broken configuration, open keys, a damaged key, and a newer format', async () => {
    await withDir(async dir => { await loadOrCreateIdentity(dir, { network: 'net-1' }) })
    await chmod(join(home, 'node.key'), 0o644)
    await writeFile(join(home, 'operator.key'), 'no key')
    await writeFile(join(home, 'version'), '99\n')
    await chmod(home, 0o755)
    const checks = await offlineChecks(home, await configFile('{"network": "net-1", "lissten": []}'))
    assert.deepEqual(['configuration', 'node.key', 'operator.key', 'format', 'data directory'].map(name => stateIn(checks, name)), ['failed', 'failed', 'failed', 'failed', 'warning'])
    assert.match(checks.find(({ name }) => name === 'configuration')?.says ?? '', /lissten/)
    for (const { state, mend } of checks) assert.equal(mend == null, state === 'ok')
  })

  it('reads all of a data directory, and finds what was damaged in it', async () => {
    const output = join(folder, 'out.parquet')
    const small = Uint8Array.of(1, 2, 3)
    const digest = createHash('sha256').update(small).digest()
    const entry = resultEntry({ units: 2, size: 3, digest, worker: 'local', bytes: small })
    let stored = ''
    await withDir(async dir => {
      const journal = dir.journal('jobs')
      await journal.append(recordKey(1, 'k1'), encodeRecord({ phase: 'ended', job: 'job-1', key: 'k1', report: { ...report('job-1'), state: 'done', outputs: [{ path: output, mediaType: 'x', bytes: 3, cid: 'c' }] } }))
      await journal.append(resultKey('k1', 0), encodeResult(entry))
      const sink = await dir.blocks.sink()
      await sink.write(small)
      stored = (await sink.finish()).path
    })
    assert.deepEqual((await deepChecks(home)).map(({ state }) => state), ['ok', 'ok', 'ok', 'ok'])
    await writeFile(stored, 'other bytes')
    await writeFile(partialPath(output), '')
    await withDir(async dir => {
      await dir.journal('jobs').append(resultKey('k1', 1), encodeResult({ ...entry, digest: new Uint8Array(32) }))
      await dir.journal('jobs').append(recordKey(2, 'k2'), Uint8Array.of(0xff))
    })
    const checks = await deepChecks(home)
    assert.deepEqual(checks.map(({ name, state }) => [name, state]), [['journal', 'failed'], ['journal', 'failed'], ['blocks', 'failed'], ['half-written', 'ok'], ['partial outputs', 'warning']])
    for (const { says } of checks.slice(0, 2)) assert.match(says, /^an entry is unreadable: /)
    assert.ok((await readdir(folder)).some(name => name.endsWith('.weft-partial')))
  })

  it('leaves a data directory alone that somebody is using', async () => {
    await using _dir = await openDataDir(home)
    const [only] = await deepChecks(home)
    assert.equal(only?.state, 'failed')
    assert.match(only?.says ?? '', /another process is using/)
  })
})

describe('docs/security.md', () => {
  const unitOf = (name: string): Array<[string, number]> => /BYTES/.test(name)
    ? [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10], ['B', 1]]
    : /_MS(_|$)/.test(name) ? [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000], ['ms', 1]] : []

  const written = (name: string, value: number): string => {
    const unit = unitOf(name).find(([, factor]) => value % factor === 0)
    return unit == null ? value.toLocaleString('en-US') : `${value / unit[1]} ${unit[0]}`
  }

  it('gives the limits as they are', () => {
    const modules: Record<string, object> = {
      'Strangers and connections': network, Streams: network, DHT: network, Gossip: { ...network, ...gossip, ...market }, 'Adverts and discovery': { ...registry, ...memory }, 'Bulletins of prices and load': market, 'Dial-back': dialback, 'Signed things': trust, 'Work for others': task
    }
    let [section, rows] = ['', 0]
    for (const line of readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8').split('\n')) {
      section = /^### (.*)$/.exec(line)?.[1] ?? section
      const [, name, value] = /^\| `([A-Z_]+)` \| ([^|]*) \|/.exec(line) ?? []
      if (name == null) continue
      const constant = (modules[section] as Record<string, unknown> | undefined)?.[name]
      assert.equal(typeof constant, 'number', `${section}: ${name}`)
      assert.equal(value, written(name, constant as number), `${section}: ${name}`)
      rows++
    }
    assert.ok(rows > 80)
  })
})
