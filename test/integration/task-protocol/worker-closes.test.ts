/** A worker that drains, resumes, is limited, runs out of disk, loses its requesters and gets them back: both sides over TCP. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { DISK_RESERVE_BYTES, DRAINING_RETRY_MS, INLINE_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import type { AttemptOutcome } from '../../../daemon/task-protocol/index.ts'
import type { TaskServerInit } from '../../../daemon/task-protocol/server-types.ts'
import { attach, offerOf, orderOf, reasons, Recorder, requester, stopAll, streamedOrder, text, upper, worker, type RequesterSide, type WorkerSide } from './harness.ts'

const until = async (condition: () => boolean): Promise<void> => { while (!condition()) await new Promise(resolve => setTimeout(resolve, 2)) }
const never = new AbortController().signal
const byBlock = (outcomes: AttemptOutcome[]): Array<[number, string]> => outcomes.map((outcome): [number, string] => [outcome.block, outcome.ok ? 'ok' : outcome.reason]).toSorted((a, b) => a[0] - b[0])

describe('a worker that closes', () => {
  let from: RequesterSide
  let to: WorkerSide
  let recorder: Recorder
  let extra: RequesterSide[]

  async function begin (init: TaskServerInit & { engineSlots?: number } = {}): Promise<void> {
    extra = []
    recorder = new Recorder()
    from = await requester('tcp', { stallMs: 5000 })
    to = await worker('tcp', { engineSlots: 1, stallMs: 5000, ...init })
  }

  afterEach(async () => { await stopAll(from, ...extra, to) })

  const refused = async (side: RequesterSide): Promise<{ reason: string, message: string, retryAfterMs?: number }> => {
    side.network.knows(to.network)
    const answer = await side.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.ok(!answer.ok)
    return answer
  }

  describe('by draining', () => {
    for (const [what, make] of [['on the lease', orderOf], ['on streams', streamedOrder]] as const) {
      it(`hands back at once what has not begun, finishes what has, and takes work again, ${what}`, async () => {
        await begin()
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, text(100_000).subarray(0, INLINE_BYTES_MAX)), make(1, text(10))])
        await until(() => to.executor.active === 1 && to.executor.waiting === 1)
        const drained = to.server.drain({ signal: never })
        assert.deepEqual(byBlock(await recorder.count(1)).map(([, reason]) => reason), ['draining'])
        assert.deepEqual(recorder.slotChanges, [0])
        handle.dispatch([make(2, text(10))])
        // which of the two began is chance
        const running = [0, 1].find(block => recorder.all.every(outcome => outcome.block !== block))
        assert.deepEqual(byBlock(await recorder.count(2)), [[running === 0 ? 1 : 0, 'draining'], [2, 'draining']])
        const stranger = await requester('tcp')
        extra.push(stranger)
        const { reason, retryAfterMs } = await refused(stranger)
        assert.deepEqual([reason, retryAfterMs], ['draining', DRAINING_RETRY_MS])
        to.executor.release()
        await drained
        assert.equal(to.server.load().active, 0)
        assert.deepEqual(byBlock(recorder.all)[running as number], [running, 'ok'])
        to.server.resume()
        await until(() => recorder.slotChanges.length === 2)
        assert.equal(recorder.slotChanges[1], 2)
        handle.dispatch([make(3, text(10))])
        await until(() => to.executor.active === 1)
        to.executor.release()
        assert.deepEqual(byBlock(await recorder.count(4))[3], [3, 'ok'])
        assert.deepEqual(to.server.load(), { ...to.server.load(), active: 0, draining: false, diskReservedBytes: 0 })
      })

      it(`hands back what still runs at the deadline, ${what}`, async () => {
        await begin({ engineSlots: 2 })
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, text(10)), make(1, text(20))])
        await until(() => to.executor.active === 2)
        await to.server.drain({ signal: never, deadlineMs: 20 })
        assert.deepEqual(byBlock(await recorder.count(2)), [[0, 'draining'], [1, 'draining']])
        assert.equal(to.executor.active, 0)
        assert.equal(recorder.lostReason, undefined)
      })
    }

    it('hands back an order whose input is still on its way', async () => {
      await begin()
      const handle = await attach(from, to, offerOf('upper'), recorder)
      const gate = Promise.withResolvers<void>()
      const bytes = text(200_000)
      handle.dispatch([streamedOrder(0, bytes, {
        async * open (signal) {
          yield bytes.subarray(0, 100_000)
          signal.addEventListener('abort', () => { gate.resolve() }, { once: true })
          await gate.promise
        }
      })])
      await until(() => to.server.load().active === 1)
      const drained = to.server.drain({ signal: never })
      assert.deepEqual(byBlock(await recorder.count(1)), [[0, 'draining']])
      await drained
      assert.equal(to.executor.runs, 0)
    })

    it('is given up when its signal fires, and ends when work is taken again', async () => {
      await begin()
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      await until(() => to.executor.active === 1)
      const stop = new AbortController()
      const first = to.server.drain({ signal: stop.signal })
      stop.abort(new Error('enough'))
      await assert.rejects(first, /enough/)
      const second = to.server.drain({ signal: never })
      to.server.resume()
      await second
      to.executor.release()
      assert.deepEqual(reasons(await recorder.count(1)), ['ok'])
    })
  })

  describe('by what it may do for others', () => {
    it('hands back what waits when it may do nothing, says why, and what is paused for long', async () => {
      await begin({ pauseHandBackMs: 30 })
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10)), orderOf(1, text(20))])
      await until(() => to.executor.active === 1 && to.executor.waiting === 1)
      to.server.setAvailability({ slots: 0, paused: true, reason: 'on battery' })
      const outcomes = await recorder.count(2)
      assert.deepEqual(byBlock(outcomes), [[0, 'draining'], [1, 'draining']])
      assert.match((outcomes.find(({ block }) => block === 0) as { message: string }).message, /on battery/)
      const stranger = await requester('tcp')
      extra.push(stranger)
      const { reason, message } = await refused(stranger)
      assert.equal(reason, 'draining')
      assert.match(message, /on battery/)
      to.server.setAvailability({ slots: 1, paused: false })
      await until(() => recorder.slotChanges.at(-1) === 2)
      handle.dispatch([orderOf(2, text(30))])
      await until(() => to.executor.active === 1)
      to.executor.release()
      assert.deepEqual(byBlock(await recorder.count(3))[2], [2, 'ok'])
    })

    it('tells of fewer and more slots', async () => {
      await begin({ engineSlots: 4 })
      await attach(from, to, offerOf('upper'), recorder)
      to.server.setAvailability({ slots: 2, paused: false, reason: '50 % of the processor' })
      to.server.setAvailability({ slots: 4, paused: false })
      await until(() => recorder.slotChanges.length === 2)
      assert.deepEqual(recorder.slotChanges, [3, 5])
    })

    it('refuses orders for want of disk, with a hint, and takes them when there is room', async () => {
      await begin()
      const handle = await attach(from, to, offerOf('upper'), recorder)
      to.executor.free = DISK_RESERVE_BYTES + 1000
      handle.dispatch([streamedOrder(0, text(200_000))])
      const [full] = await recorder.count(1)
      assert.ok(full != null && !full.ok)
      assert.equal(full.reason, 'busy')
      assert.match(full.message, /no room on disk/)
      assert.ok((full.retryAfterMs ?? 0) > 0)
      to.executor.free = 2 ** 40
      for (let attempt = 2; !recorder.all.some(({ ok }) => ok); attempt++) {
        const before = recorder.all.length
        handle.dispatch([streamedOrder(0, text(200_000), { attempt })])
        await recorder.count(before + 1)
      }
      assert.equal(to.server.load().diskReservedBytes, 0)
    })
  })

  for (const [what, make] of [['on the lease', orderOf], ['on streams', streamedOrder]] as const) {
    it(`says what it lacks for an order, without blame and without naming its files, ${what}`, async () => {
      await begin()
      const { workspace } = to.executor
      const full = Object.assign(new Error(`ENOSPC: no space left on device, mkdir '${to.folder}/block'`), { code: 'ENOSPC' })
      to.executor.workspace = async () => { throw full }
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([make(0, text(100_000).subarray(0, INLINE_BYTES_MAX))])
      const [outcome] = await recorder.count(1)
      assert.ok(outcome != null && !outcome.ok)
      assert.equal(outcome.reason, 'unavailable')
      assert.match(outcome.message, /ENOSPC/)
      assert.ok(!outcome.message.includes(to.folder), outcome.message)
      to.executor.workspace = workspace
      handle.dispatch([make(0, text(100), { attempt: 2 })])
      assert.deepEqual(reasons(await recorder.count(2)), ['unavailable', 'ok'])
      assert.equal(to.server.load().active, 0)
    })
  }

  describe('to a requester that is lost', () => {
    /** Both ends of its connections are gone, without a word. */
    function cut (side: RequesterSide): void {
      for (const connection of side.network.libp2p.getConnections(to.network.identity.peerId)) connection.abort(new Error('cut'))
    }

    for (const [what, make] of [['on the lease', orderOf], ['on streams', streamedOrder]] as const) {
      const bytes = text(what === 'on streams' ? 150_000 : 1_000)

      it(`keeps what it finishes, and answers the same order on the next lease with it, ${what}`, async () => {
        await begin()
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, bytes)])
        await until(() => to.executor.active === 1)
        cut(from)
        await recorder.until(() => recorder.lostReason != null)
        await until(() => to.server.load().orphans === 1)
        assert.equal(to.server.load().active, 0, 'it counts for no lease any more')
        to.executor.release()
        await until(() => to.server.load().kept === 1)
        const again = new Recorder()
        const next = await attach(from, to, offerOf('hold', { job: 'another-job' }), again)
        next.dispatch([make(7, bytes, { attempt: 3 })])
        const [outcome] = await again.count(1)
        assert.ok(outcome?.ok, JSON.stringify(outcome))
        assert.deepEqual([outcome.block, outcome.attempt], [7, 3])
        assert.ok(outcome.receipt != null, 'with a receipt of its own')
        if ('bytes' in outcome.output) assert.deepEqual(Buffer.from(outcome.output.bytes), upper(bytes))
        assert.equal(outcome.size, bytes.length)
        assert.equal(to.executor.runs, 1)
        assert.deepEqual([to.server.load().reused, to.server.load().kept], [1, 0])
      })

      it(`lets what is at work be adopted by the next lease, ${what}`, async () => {
        await begin()
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, bytes)])
        await until(() => to.executor.active === 1)
        cut(from)
        await until(() => to.server.load().orphans === 1)
        const again = new Recorder()
        const next = await attach(from, to, offerOf('hold'), again)
        next.dispatch([make(0, bytes, { attempt: 2 })])
        await until(() => to.server.load().active === 1 && to.server.load().orphans === 0)
        assert.equal(to.executor.runs, 1)
        to.executor.release()
        assert.deepEqual(reasons(await again.count(1)), ['ok'])
        assert.equal(to.executor.runs, 1)
      })

      it(`stops what was adopted when it is cancelled, ${what}`, async () => {
        await begin()
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, bytes)])
        await until(() => to.executor.active === 1)
        cut(from)
        await until(() => to.server.load().orphans === 1)
        const again = new Recorder()
        const next = await attach(from, to, offerOf('hold'), again)
        next.dispatch([make(0, bytes, { attempt: 2 })])
        await until(() => to.server.load().active === 1 && to.server.load().orphans === 0)
        next.cancel([{ block: 0, attempt: 2 }])
        assert.deepEqual(reasons(await again.count(1)), ['cancelled'])
        await until(() => to.executor.active === 0)
      })

      it(`gives nobody else what it keeps, and nothing for another conversion, ${what}`, async () => {
        await begin()
        const handle = await attach(from, to, offerOf('hold'), recorder)
        handle.dispatch([make(0, bytes)])
        await until(() => to.executor.active === 1)
        cut(from)
        await until(() => to.server.load().orphans === 1)
        to.executor.release()
        await until(() => to.server.load().kept === 1)
        const rival = await requester('tcp')
        extra.push(rival)
        const theirs = new Recorder()
        const other = await attach(rival, to, offerOf('hold'), theirs)
        other.dispatch([make(0, bytes)])
        await until(() => to.executor.runs === 2)
        to.executor.release()
        assert.deepEqual(reasons(await theirs.count(1)), ['ok'])
        const again = new Recorder()
        const next = await attach(from, to, offerOf('hold', { parameters: { other: 1 } }), again)
        next.dispatch([make(0, bytes, { attempt: 2 })])
        await until(() => to.executor.runs === 3)
        to.executor.release()
        assert.deepEqual(reasons(await again.count(1)), ['ok'])
        assert.deepEqual([to.server.load().reused, to.server.load().kept], [0, 1])
      })
    }

    it('stops after a while what nobody comes back for, and at once when somebody else needs the engine', async () => {
      await begin({ orphanMs: 40 })
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      await until(() => to.executor.active === 1)
      cut(from)
      await until(() => to.executor.cancelled === 1 && to.executor.active === 0 && to.server.load().orphans === 0)
    })

    it('makes room for somebody else', async () => {
      await begin({ orphanMs: 60_000 })
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      await until(() => to.executor.active === 1)
      cut(from)
      await until(() => to.server.load().orphans === 1)
      const rival = await requester('tcp')
      extra.push(rival)
      const theirs = new Recorder()
      const other = await attach(rival, to, offerOf('upper'), theirs)
      other.dispatch([orderOf(0, text(30))])
      assert.deepEqual(reasons(await theirs.count(1)), ['ok'])
      assert.equal(to.executor.cancelled, 1)
    })

    it('forgets what it keeps after a while, and everything when it stops', async () => {
      // long enough to be seen on a busy machine
      await begin({ keepFinishedMs: 1000 })
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([streamedOrder(0, text(150_000))])
      await until(() => to.executor.active === 1)
      cut(from)
      await until(() => to.server.load().orphans === 1)
      to.executor.release()
      await until(() => to.server.load().kept === 1)
      await until(() => to.server.load().kept === 0)
      await to.server.stop()
      assert.deepEqual(await readdir(to.folder), [], 'no file is left')
      await to.server.start()
    })
  })
})
