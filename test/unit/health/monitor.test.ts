/** Monitors with their beacon threads, two in this process. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { join } from 'node:path'
import { BEACON_LIMITS, createLoopDelay, createMonitor, LEASE_LIMITS, type BeaconOffer, type Monitor, type MonitorInit, type Watch } from '../../../daemon/health/index.ts'
import { limitsOf } from '../../../daemon/health/monitor.ts'

const LOOPBACK = ['/ip4/127.0.0.1/tcp/0']
const HOST = '127.0.0.1'

async function until (ready: () => boolean): Promise<void> {
  while (!ready()) await new Promise(resolve => setTimeout(resolve, 5))
}

interface Side { monitor: Monitor, watch: Watch, heard: string[], logged: string[] }

describe('monitor', () => {
  const loopDelay = createLoopDelay()
  const sides: Side[] = []
  let beats: NodeJS.Timeout | undefined

  function side (peer: string, init: MonitorInit = {}): Side {
    const heard: string[] = []
    const logged: string[] = []
    const log = (_: object, message: string): void => { logged.push(message) }
    const monitor = createMonitor({ loopDelay, log: { debug: log, warn: log } }, { listen: LOOPBACK, ...init })
    const watch = monitor.watch({ peer }, {
      suspect: reason => { heard.push(`suspect: ${reason}`) },
      trusted: () => { heard.push('trusted') },
      dead: reason => { heard.push(`dead: ${reason}`) }
    })
    const made = { monitor, watch, heard, logged }
    sides.push(made)
    return made
  }

  /** As the lease does: each tells the other one how to send to it, and both beat. */
  function introduce (a: Side, b: Side): void {
    a.watch.offerBeacon(HOST, offer => { b.watch.peerBeacon(offer) })
    b.watch.offerBeacon(HOST, offer => { a.watch.peerBeacon(offer) })
    beats = setInterval(() => {
      a.watch.beat()
      b.watch.beat()
    }, 100)
  }

  before(() => { loopDelay.start() })
  after(() => { loopDelay.stop() })
  afterEach(async () => {
    clearInterval(beats)
    for (const { watch, monitor } of sides.splice(0)) {
      watch.end()
      await monitor.stop()
    }
  })

  it('two that were introduced judge one another by beacons; a blocked main loop kills nobody', async () => {
    const [a, b] = [side('b'), side('a')]
    assert.equal(a.monitor.status().beacon, 'resting')
    introduce(a, b)
    await until(() => a.watch.byBeacon && b.watch.byBeacon)
    const status = a.monitor.status()
    assert.deepEqual(status, { beacon: 'on', port: status.port, watched: 1, byBeacon: 1, suspect: 0, sendFailures: 0, ownHealth: status.ownHealth })
    // Longer than a silent peer lives: only the threads are at work.
    clearInterval(beats)
    const end = performance.now() + BEACON_LIMITS.dead.ceilingMs + 500
    while (performance.now() < end);
    await until(() => a.watch.byBeacon && b.watch.byBeacon)
    // On a machine that starves the threads, too, somebody may be suspect for a moment.
    assert.deepEqual([...a.heard, ...b.heard].filter(text => text.startsWith('dead')), [])
    assert.match(a.watch.reason, /^heard \d+ ms ago/)
  })

  it('a peer cut off is suspect, then trusted when it is back; then suspect and dead for good', async () => {
    const [a, b] = [side('b'), side('a')]
    introduce(a, b)
    await until(() => a.watch.byBeacon && b.watch.byBeacon)
    clearInterval(beats)
    a.monitor.setFaults({ b: { blockIn: true } })
    await until(() => a.heard.length === 1)
    assert.match(a.heard[0]!, /^suspect: silent for \d+ ms \(beacon\)/)
    assert.equal(a.watch.liveness, 'suspect')
    a.monitor.setFaults({})
    await until(() => a.heard.length === 2)
    assert.equal(a.heard[1], 'trusted')
    assert.equal(a.monitor.status().ownHealth, 1)
    a.monitor.setFaults({ b: { blockIn: true } })
    await until(() => a.heard.length === 4)
    assert.match(a.heard[2]!, /^suspect: /)
    assert.match(a.heard[3]!, /^dead: silent for \d+ ms \(beacon\)/)
    assert.equal(a.monitor.status().watched, 0)
    a.watch.byte()
    a.watch.end()
    // Only what comes in was blocked: b heard a all the time, until a gave up.
    assert.deepEqual(b.heard.filter(text => !text.startsWith('suspect')), [])
  })

  it('where no beacon comes, beats are judged, and the log says so', async () => {
    const [a, b] = [side('b'), side('a', { beacon: 'off' })]
    const offers: BeaconOffer[] = []
    a.watch.offerBeacon(HOST, offer => { offers.push(offer) })
    b.watch.offerBeacon(HOST, () => assert.fail('it has no beacon'))
    b.watch.peerBeacon({ port: 1, id: new Uint8Array(8), key: new Uint8Array(32) })
    beats = setInterval(() => { a.watch.beat() }, 100)
    await until(() => a.logged.some(line => line.startsWith('no beacon from the peer')))
    clearInterval(beats)
    assert.equal(offers.length, 1)
    assert.equal(a.watch.byBeacon, false)
    assert.equal(b.monitor.status().beacon, 'off')
    await until(() => a.heard.length > 0)
    assert.match(a.heard[0]!, /^suspect: silent for \d+ ms \(lease\)/)
    a.watch.beat()
    await until(() => a.heard.length > 1)
    assert.equal(a.heard[1], 'trusted')
  })

  it('needs no thread without a lease: none before the first, none some time after the last, one again for the next', async () => {
    const a = side('b', { idleMs: 20 })
    assert.equal(a.monitor.status().beacon, 'resting')
    a.watch.offerBeacon(undefined, () => assert.fail('there is no host'))
    assert.equal(a.monitor.status().beacon, 'resting')
    a.watch.offerBeacon(HOST, () => {})
    assert.equal(a.monitor.status().beacon, 'starting')
    await until(() => a.monitor.status().beacon === 'on')
    a.watch.end()
    await until(() => a.monitor.status().beacon === 'resting')
    const again = a.monitor.watch({}, { suspect () {}, trusted () {}, dead () {} })
    again.offerBeacon(HOST, () => {})
    await until(() => a.monitor.status().beacon === 'on')
    again.end()
  })

  it('a port that cannot be had: beats are judged, and it is tried again', async () => {
    const holder = createSocket('udp4')
    holder.bind({ address: HOST, port: 0, exclusive: true })
    await once(holder, 'listening')
    const { port } = holder.address()
    const a = side('b', { port })
    const offers: BeaconOffer[] = []
    a.watch.offerBeacon(HOST, offer => { offers.push(offer) })
    await until(() => a.logged.some(line => line.startsWith('the beacon failed')))
    assert.equal(a.watch.byBeacon, false)
    assert.equal(offers.length, 0)
    holder.close()
    await until(() => offers.length > 0)
    assert.equal(offers[0]!.port, port)
  })

  it('works again after stop and start', async () => {
    const a = side('b')
    await a.monitor.stop()
    await a.monitor.start()
    const offers: BeaconOffer[] = []
    const watch = a.monitor.watch({}, { suspect () {}, trusted () {}, dead () {} })
    watch.offerBeacon(HOST, offer => { offers.push(offer) })
    await until(() => offers.length > 0)
    watch.end()
  })

  it('does not keep a process alive, thread and all', () => {
    const index = join(import.meta.dirname, '../../../daemon/health/index.ts')
    const script = `
      const { createMonitor } = await import(${JSON.stringify(index)})
      const monitor = createMonitor({ loopDelay: { worst: () => 0 } }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
      const watch = monitor.watch({}, { suspect () {}, trusted () {}, dead () {} })
      const waiting = setInterval(() => {}, 1000)
      watch.offerBeacon('127.0.0.1', () => { clearInterval(waiting); console.log(monitor.status().beacon) })`
    assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 }).toString(), 'on\n')
  })

  it('what the operator sets are the ceilings; the rest keeps its proportion, and its order', () => {
    assert.deepEqual(limitsOf({}), { beacon: BEACON_LIMITS, lease: LEASE_LIMITS })
    const doubled = limitsOf({ suspectMs: 2 * BEACON_LIMITS.suspect.ceilingMs, deadMs: 2 * BEACON_LIMITS.dead.ceilingMs })
    assert.equal(doubled.beacon.suspect.floorMs, 2 * BEACON_LIMITS.suspect.floorMs)
    assert.equal(doubled.lease.dead.ceilingMs, 2 * LEASE_LIMITS.dead.ceilingMs)
    for (const [suspectMs, deadMs] of [[2700, 2800], [600, 2800], [1300, 60_000], [600, 601]]) {
      const made = createMonitor({ loopDelay }, { suspectMs, deadMs, beacon: 'off' })
      made.watch({}, { suspect () {}, trusted () {}, dead () {} }).end()
    }
    assert.throws(() => createMonitor({ loopDelay }, { suspectMs: 3000 }), RangeError)
    assert.throws(() => createMonitor({ loopDelay }, { deadMs: Number.NaN }), RangeError)
  })
})
