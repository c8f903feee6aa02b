/** Liveness with beacons, between processes: what is blocked, stopped or busy is told apart. Times are printed, never judged. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLoopDelay, createMonitor, type Monitor } from '../../../daemon/health/index.ts'
import type { Worker } from '../../../daemon/task-protocol/index.ts'
import { addressOf, multiaddr } from '../../fixtures/plain-network.ts'
import type { News, Order } from './beacon-process.ts'
import { offerOf, orderOf, randomBytes, reasons, Recorder, requester, stopAll, streamedOrder, text, worker, type RequesterSide } from './harness.ts'

/** Milliseconds a main loop is blocked: as long as a silent peer is suspected, and more. */
const BLOCK_MS = 2200

class Peer {
  readonly child: ChildProcess
  private readonly folder: string

  static async start (role: 'worker' | 'requester'): Promise<Peer> {
    return new Peer(role, await mkdtemp(join(tmpdir(), 'weft-peer-')))
  }

  private constructor (role: string, folder: string) {
    // a killed process cleans up nothing: what it makes goes into a folder that is removed here
    this.folder = folder
    this.child = fork(join(import.meta.dirname, 'beacon-process.ts'), [role], { env: { ...process.env, TMPDIR: folder } })
  }

  async news<T extends News['type']> (type: T): Promise<News & { type: T }> {
    for (;;) {
      const [news] = await once(this.child, 'message') as [News]
      if (news.type === type) return news as News & { type: T }
    }
  }

  tell (order: Order): void {
    this.child.send(order)
  }

  signal (name: 'SIGSTOP' | 'SIGCONT'): number {
    this.child.kill(name)
    return performance.now()
  }

  async kill (): Promise<void> {
    if (this.child.exitCode == null && this.child.signalCode == null) {
      const gone = once(this.child, 'exit')
      this.child.kill('SIGKILL')
      await gone
    }
    await rm(this.folder, { recursive: true, force: true })
  }
}

const since = (start: number): string => `${Math.round(performance.now() - start)} ms`

describe('beacons between processes', function () {
  this.timeout(120_000)
  const loopDelay = createLoopDelay()
  let monitor: Monitor
  let peer: Peer
  let address: string

  before(() => { loopDelay.start() })
  after(() => { loopDelay.stop() })

  async function byBeacon (): Promise<void> {
    while (monitor.status().byBeacon === 0) await new Promise(resolve => setTimeout(resolve, 10))
  }

  describe('a worker in a process of its own', () => {
    let from: RequesterSide
    let recorder: Recorder
    let handle: Worker

    async function attach (converter: string): Promise<Worker> {
      const connection = await from.network.libp2p.dial(multiaddr(address))
      const answer = await from.client.attach(connection.remotePeer, offerOf(converter), recorder, { signal: AbortSignal.timeout(30_000) })
      assert.ok(answer.ok)
      return answer.worker
    }

    beforeEach(async () => {
      peer = await Peer.start('worker')
      address = (await peer.news('ready')).address
      monitor = createMonitor({ loopDelay }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
      from = await requester('tcp', { monitor })
      recorder = new Recorder()
    })

    afterEach(async () => {
      await peer.kill()
      await stopAll(from)
      await monitor.stop()
    })

    it('stopped: suspect, then dead, and nothing else', async () => {
      handle = await attach('hold')
      handle.dispatch([orderOf(0, text(10))])
      await byBeacon()
      const stopped = peer.signal('SIGSTOP')
      await recorder.until(() => recorder.doubts.length > 0 || recorder.lostReason != null)
      const suspected = since(stopped)
      assert.equal(recorder.lostReason, undefined)
      assert.match(recorder.doubts[0]!, /^silent for \d+ ms \(beacon\)/)
      await recorder.until(() => recorder.lostReason != null)
      console.log(`      suspect after ${suspected}, dead after ${since(stopped)}`)
      assert.match(recorder.lostReason!, /^silent for \d+ ms \(beacon\)/)
      assert.equal(recorder.doubts.length, 1)
    })

    it('stopped and continued: suspect, then trusted; its work goes on', async () => {
      handle = await attach('upper')
      await byBeacon()
      peer.signal('SIGSTOP')
      handle.dispatch([orderOf(0, text(10))])
      await recorder.until(() => recorder.doubts.length > 0)
      const back = peer.signal('SIGCONT')
      await recorder.until(() => recorder.doubts.length > 1)
      console.log(`      trusted ${since(back)} after it went on`)
      assert.deepEqual(reasons(await recorder.count(1)), ['ok'])
      assert.equal(recorder.lostReason, undefined)
    })

    it('its main loop blocked again and again: never dead, and at work in between', async () => {
      handle = await attach('upper')
      await byBeacon()
      for (let round = 0; round < 3; round++) {
        const unblocked = peer.news('unblocked')
        peer.tell({ type: 'block', ms: BLOCK_MS })
        handle.dispatch([orderOf(round, text(10))])
        await unblocked
        await recorder.count(round + 1)
      }
      console.log(`      doubts: ${recorder.doubts.length === 0 ? 'none' : recorder.doubts.join('; ')}`)
      assert.deepEqual(reasons(recorder.all), ['ok', 'ok', 'ok'])
      assert.equal(recorder.lostReason, undefined)
    })

    it('the requester\'s main loop blocked again and again: neither side gives the other up', async () => {
      handle = await attach('upper')
      await byBeacon()
      for (let round = 0; round < 3; round++) {
        const end = performance.now() + BLOCK_MS
        while (performance.now() < end);
        handle.dispatch([orderOf(round, text(10))])
        await recorder.count(round + 1)
      }
      console.log(`      doubts: ${recorder.doubts.length === 0 ? 'none' : recorder.doubts.join('; ')}`)
      assert.deepEqual(reasons(recorder.all), ['ok', 'ok', 'ok'])
      assert.equal(recorder.lostReason, undefined)
    })

    it('beside as many bytes as the connection carries: neither silent nor mute', async () => {
      handle = await attach('upper')
      await byBeacon()
      const bytes = randomBytes(24 << 20)
      const before = performance.now()
      handle.dispatch(Array.from({ length: 6 }, (_, block) => streamedOrder(block, bytes)))
      await recorder.count(6)
      console.log(`      ${(12 * bytes.length / 1e3 / (performance.now() - before)).toFixed(0)} MB/s, both ways together`)
      assert.ok(recorder.all.every(({ ok }) => ok))
      // that a main loop stands still for seconds is true of an overloaded machine, and no matter of the bytes
      assert.deepEqual(recorder.doubts.filter(doubt => doubt !== 'trusted' && !doubt.startsWith('its main loop has not moved')), [])
      assert.equal(recorder.lostReason, undefined)
    })
  })

  it('a requester in a process of its own, stopped: the worker ends its lease and its engine', async () => {
    monitor = createMonitor({ loopDelay }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
    const to = await worker('tcp', { monitor })
    peer = await Peer.start('requester')
    try {
      await peer.news('ready')
      const attached = peer.news('attached')
      peer.tell({ type: 'attach', address: addressOf(to.network) })
      await attached
      await byBeacon()
      const stopped = peer.signal('SIGSTOP')
      while (to.server.load().leases > 0) await new Promise(resolve => setTimeout(resolve, 5))
      console.log(`      its lease ended after ${since(stopped)}`)
      while (to.executor.active > 0) await new Promise(resolve => setTimeout(resolve, 5))
      assert.equal(to.executor.cancelled, 1)
    } finally {
      await peer.kill()
      await stopAll(to)
      await monitor.stop()
    }
  })

  it('a worker without a beacon and a requester with one work together by beats', async () => {
    monitor = createMonitor({ loopDelay }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
    const to = await worker('tcp')
    const from = await requester('tcp', { monitor })
    try {
      from.network.knows(to.network)
      const recorder = new Recorder()
      const answer = await from.client.attach(to.network.identity.peerId, offerOf('upper'), recorder, { signal: AbortSignal.timeout(30_000) })
      assert.ok(answer.ok)
      answer.worker.dispatch([orderOf(0, text(10))])
      assert.deepEqual(reasons(await recorder.count(1)), ['ok'])
      await recorder.until(() => recorder.beats.length > 2)
      const { watched, byBeacon, suspect } = monitor.status()
      assert.deepEqual({ watched, byBeacon, suspect }, { watched: 1, byBeacon: 0, suspect: 0 })
    } finally {
      await stopAll(from, to)
      await monitor.stop()
    }
  })
})
