import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { Block } from '../../../daemon/coordinator/block-table.ts'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { BLOCKS_MAX, CHEAP_BYTES_MAX, JOB_LIMITS } from '../../../daemon/coordinator/constants.ts'
import { afterFailure, pauseMs } from '../../../daemon/coordinator/failure-policy.ts'
import { decodeFinding, decodeRecord, decodeResult, encodeRecord, encodeResult, partsOfResultKey, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { toJobError, toOutputError } from '../../../daemon/coordinator/job-errors.ts'
import { Limiter } from '../../../daemon/coordinator/limiter.ts'
import { clampBlockBytes, deal, planBlockBytes, planPlace } from '../../../daemon/coordinator/planner.ts'
import { ReadyQueue } from '../../../daemon/coordinator/ready-queue.ts'
import { buildReport, percentile } from '../../../daemon/coordinator/report.ts'
import { makeSpec, rawCid, readSpec } from '../../../daemon/coordinator/spec.ts'
import { WorkerEntry } from '../../../daemon/coordinator/worker-table.ts'
import { ConversionError } from '../../../daemon/block-convert/index.ts'
import { encodeCanonical } from '../../../daemon/trust/index.ts'
import { resultEntry } from '../../fixtures/result-entry.ts'
import type { JobReport, JobRequest } from '../../../daemon/coordinator/index.ts'
import type { StoredBlock } from '../../../daemon/store/index.ts'

const unexpected = (error: unknown): void => { throw error }

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })

function worker (id: string, slots: number, bytesPerSecond?: number): WorkerEntry {
  const entry = new WorkerEntry(id, 'remote')
  entry.join('remote', slots, bytesPerSecond)
  return entry
}

describe('coordinator/ready-queue', () => {
  it('gives what was tried before first, lowest index first, then the fresh in order; bytes and length add up', () => {
    fc.assert(fc.property(fc.uniqueArray(fc.nat(5000), { maxLength: 3000 }), fc.uniqueArray(fc.integer({ min: 5001, max: 6000 })), (again, fresh) => {
      const queue = new ReadyQueue()
      fresh.sort((a, b) => a - b)
      for (const index of fresh) queue.push(new Block(index, 3))
      for (const index of again) queue.putBack(new Block(index, 5))
      assert.equal(queue.length, again.length + fresh.length)
      assert.equal(queue.bytes, 5 * again.length + 3 * fresh.length)
      const taken: number[] = []
      for (let block = queue.take(); block != null; block = queue.take()) taken.push(block.index)
      assert.deepEqual(taken, [...again.toSorted((a, b) => a - b), ...fresh])
      assert.deepEqual([queue.length, queue.bytes], [0, 0])
    }), { numRuns: 50 })
  })

  it('passes over a block that got its result while it waited', () => {
    const queue = new ReadyQueue()
    const [a, b] = [new Block(0, 1), new Block(1, 1)]
    queue.push(a)
    queue.push(b)
    a.state = 'inspecting'
    assert.equal(queue.take(), b)
    assert.equal(queue.take(), undefined)
  })
})

describe('coordinator/planner', () => {
  const dealt = (sizes: number[], workers: WorkerEntry[], more: { splitEnded?: boolean, inFlight?: number, prepare?: (blocks: Block[]) => void } = {}): string[] => {
    const queue = new ReadyQueue()
    const blocks = sizes.map((size, i) => new Block(i, size))
    for (const block of blocks) queue.push(block)
    more.prepare?.(blocks)
    const orders: string[] = []
    deal(queue, workers, { now: 0, splitEnded: more.splitEnded ?? false, inFlight: more.inFlight }, (block, to) => {
      orders.push(`${to.id}${block.index}`)
      block.state = 'leased'
      to.give({ block: block.index, attempt: 1, worker: to, at: 0, open: true, given: false } as never, block.size, 0)
    })
    assert.equal(queue.length, sizes.length - orders.length, 'what is not given stays in the queue')
    return orders
  }

  it('gives one each in turn until nobody has room', () => {
    const b = worker('b', 3)
    b.ramp = 4
    assert.deepEqual(dealt([1, 1, 1, 1, 1, 1], [worker('a', 2), b]), ['a0', 'b1', 'a2', 'b3', 'b4'])
  })

  it('gives nothing to who is gone, excluded, lying, draining or paused', () => {
    const [gone, out, liar, draining, paused] = [worker('a', 1), worker('b', 1), worker('c', 1), worker('d', 0), worker('e', 1)]
    gone.live = false
    out.out = 'unsupported'
    liar.distrusted = true
    paused.pausedUntil = 1
    assert.deepEqual(dealt([1, 1], [gone, out, liar, draining, paused], { inFlight: 4 }), [])
  })

  it('gives a block that failed somewhere to somebody else, and back only if there is nobody else', () => {
    const [a, b] = [worker('a', 1), worker('b', 1)]
    assert.deepEqual(dealt([1, 1], [a, b], { prepare: ([first]) => { first!.avoid = [a] } }), ['b0', 'a1'])
    const alone = worker('a', 1)
    assert.deepEqual(dealt([1], [alone], { prepare: ([first]) => { first!.avoid = [alone] } }), ['a0'])
  })

  it('near the end lets a block wait for a fast worker rather than give it to a slow one', () => {
    const [fast, slow] = [worker('f', 1, 100_000), worker('s', 1, 1000)]
    // The fast one takes the first and would have done the second long before the slow one.
    assert.deepEqual(dealt([1000, 1000], [fast, slow], { splitEnded: true }), ['f0'])
    assert.deepEqual(dealt([1000, 1000], [worker('f', 1, 100_000), worker('s', 1, 1000)], { splitEnded: false }), ['f0', 's1'])
    assert.deepEqual(dealt([1000, 1000], [worker('f', 1, 1000), worker('s', 1, 900)], { splitEnded: true }), ['f0', 's1'])
  })

  it('does not wait for who is far later than its speed allows, and says when to look again', () => {
    const again = (now: number): [string[], number] => {
      const [fast, slow] = [worker('f', 1, 100_000), worker('s', 1, 1000)]
      fast.give({ block: 9, attempt: 1, worker: fast, at: 0, open: true, given: false } as never, 1000, 0)
      const queue = new ReadyQueue()
      queue.push(new Block(0, 1000))
      const orders: string[] = []
      const at = deal(queue, [fast, slow], { now, splitEnded: true }, (block, to) => { orders.push(`${to.id}${block.index}`) })
      return [orders, at]
    }
    // 2001 bytes at 100 a millisecond, half as long again.
    const [orders, at] = again(5)
    assert.deepEqual(orders, [])
    assert.ok(Math.abs(at - 30.015) < 1e-6, String(at))
    assert.deepEqual(again(at)[0], ['s0'])
  })

  it('always gives something when somebody has room and nothing is out', () => {
    fc.assert(fc.property(fc.array(fc.nat(10_000), { minLength: 1, maxLength: 20 }), fc.array(fc.record({ slots: fc.integer({ min: 1, max: 4 }), rate: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined }) }), { minLength: 1, maxLength: 6 }), fc.boolean(), (sizes, workers, splitEnded) => {
      assert.ok(dealt(sizes, workers.map(({ slots, rate }, i) => worker(`w${i}`, slots, rate)), { splitEnded }).length > 0)
    }))
  })

  it('keeps cheap work here, and says why', () => {
    assert.equal(planPlace('any', CHEAP_BYTES_MAX - 1, undefined).place, 'local')
    assert.equal(planPlace('any', CHEAP_BYTES_MAX, undefined).place, 'any')
    assert.equal(planPlace('any', 1, ['peer']).place, 'any')
    assert.equal(planPlace('remote', 1, undefined).place, 'remote')
    assert.equal(planPlace('local', 1e12, undefined).place, 'local')
    assert.match(planPlace('any', 10, undefined).reason, /10 bytes/)
  })

  it('sizes blocks within bounds: enough for every slot, never more than the table holds', () => {
    fc.assert(fc.property(fc.nat(2 ** 45), fc.integer({ min: 1, max: 500 }), (total, slots) => {
      const size = planBlockBytes('text/csv', total, slots)
      assert.ok(Number.isSafeInteger(size) && size >= 1)
      assert.ok(total / size <= BLOCKS_MAX)
    }))
    assert.equal(planBlockBytes('text/csv', 500e6, 2), 16 * 1024 * 1024)
    assert.ok(20e6 / planBlockBytes('text/csv', 20e6, 4) >= 11)
    assert.equal(clampBlockBytes(200, 40e6), 200)
    assert.ok(clampBlockBytes(1, 1e9) > 1)
  })
})

describe('coordinator/failure-policy', () => {
  const failure = (reason: Parameters<typeof afterFailure>[0]['reason'], code?: string): Parameters<typeof afterFailure>[0] => ({ block: 1, reason, message: 'm', code })

  it('says for every reason whose fault it is', () => {
    const kinds = (['busy', 'draining', 'policy', 'unsupported', 'expired', 'protocol', 'crash', 'hang', 'out-of-memory', 'output-limit', 'unavailable', 'transfer', 'cancelled', 'lost'] as const)
      .map(reason => `${reason} ${afterFailure(failure(reason), { remote: true, blamed: false }).kind}`)
    assert.deepEqual(kinds, [
      'busy pause', 'draining drained', 'policy exclude', 'unsupported exclude', 'expired exclude', 'protocol exclude', 'crash blame', 'hang blame',
      'out-of-memory blame', 'output-limit blame', 'unavailable blame', 'transfer blame', 'cancelled blame', 'lost blame'
    ])
  })

  it('believes the input bad from here at once, from a peer the second time, and an unknown code never', () => {
    assert.equal(afterFailure(failure('conversion', 'bad-input'), { remote: false, blamed: false }).kind, 'job')
    assert.equal(afterFailure(failure('conversion', 'bad-input'), { remote: true, blamed: false }).kind, 'doubt')
    assert.equal(afterFailure(failure('conversion', 'bad-input'), { remote: true, blamed: true }).kind, 'job')
    assert.deepEqual(afterFailure(failure('conversion', 'made-up'), { remote: true, blamed: true }), { kind: 'blame', engine: true, cause: 'conversion' })
    assert.deepEqual(afterFailure(failure('conversion', 'engine'), { remote: false, blamed: false }), { kind: 'blame', engine: true, cause: 'conversion' })
  })

  it('pauses longer each time, follows a hint, and never beyond the limit', () => {
    assert.deepEqual([1, 2, 3, 100].map(n => pauseMs(n, JOB_LIMITS)), [100, 200, 400, JOB_LIMITS.retryMsMax])
    assert.equal(pauseMs(5, JOB_LIMITS, 70), 70)
    assert.equal(pauseMs(1, JOB_LIMITS, 1e12), JOB_LIMITS.retryMsMax)
    assert.equal(pauseMs(1, JOB_LIMITS, -5), 100)
  })
})

describe('coordinator/journal-entries', () => {
  it('reads back every result it writes', () => {
    fc.assert(fc.property(fc.record({
      attempt: fc.integer({ min: 1, max: 65535 }), units: fc.nat(2 ** 40), digest: bytes, worker: fc.stringMatching(/^[ -~]{0,60}$/), bytes: fc.uint8Array({ maxLength: 300 }), size: fc.nat(2 ** 40),
      local: fc.boolean(), input: bytes, conversion: bytes, epoch: fc.nat(2 ** 31), checked: fc.boolean(), distance: fc.double({ noNaN: true }), wallMs: fc.double({ noNaN: true, min: 0 })
    }, { requiredKeys: ['attempt', 'units', 'digest', 'worker', 'size', 'local', 'input', 'conversion', 'epoch', 'checked', 'distance', 'wallMs'] }), drawn => {
      const entry = { ...drawn, size: drawn.bytes?.length ?? drawn.size }
      assert.deepEqual(decodeResult(encodeResult(entry)), entry)
    }))
  })

  const good = encodeResult(resultEntry({ size: 3, digest: new Uint8Array(32), bytes: Uint8Array.of(1, 2, 3) }))

  it('knows a result that is not whole, wherever it was cut or a bit was turned', () => {
    for (let length = 0; length < good.length; length++) assert.throws(() => decodeResult(good.subarray(0, length)), /not whole/)
    for (let bit = 0; bit < good.length * 8; bit++) {
      const turned = Uint8Array.from(good, (byte, at) => at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)
      assert.throws(() => decodeResult(turned), /not whole/, `bit ${bit}`)
    }
    assert.throws(() => decodeResult(new Uint8Array(10)), /not whole/)
  })

  it('tells an entry of version 1, which is of no use, from one of a later version, which must not be touched', () => {
    assert.equal(decodeResult(Uint8Array.of(1, 0, 0)), undefined)
    const later = Buffer.from(good)
    later[0] = 3
    later.writeUInt32LE(crc32(later.subarray(5), 3), 1)
    assert.throws(() => decodeResult(later), { name: 'NewerJournalError', message: /version 3, and this build reads up to 2/ })
    assert.throws(() => decodeRecord(encodeCanonical({ v: 3, phase: 'later' })), { name: 'NewerJournalError' })
    assert.throws(() => decodeFinding(encodeCanonical({ v: 2 })), { name: 'NewerJournalError' })
    for (const nothing of [null, {}, { v: 0 }, { v: 'x' }, []]) assert.throws(() => decodeRecord(encodeCanonical(nothing)), /not a job record/)
  })

  it('keeps keys and what they are of', () => {
    assert.deepEqual(partsOfResultKey(resultKey('abc', BLOCKS_MAX)), { key: 'abc', block: BLOCKS_MAX })
  })

  it('keeps keys in the order of blocks and of time', () => {
    const blocks = [0, 9, 35, 36, 1295, 1296, BLOCKS_MAX]
    assert.deepEqual(blocks.map(block => resultKey('k', block)).toSorted(), blocks.map(block => resultKey('k', block)))
    assert.ok(recordKey(1_700_000_000_000, 'z') < recordKey(1_700_000_000_001, 'a'))
  })

  it('reads reports of builds that knew neither notes nor changes of the schema', () => {
    const report = buildReport({ job: 'j', state: 'failed', created: 1, now: 2, inputs: [], inputDigests: [], output: { path: '/o', mediaType: 'x' }, bound: 0, priceUnit: 'credit', notes: [], timing: { prepareMs: 0, convertMs: 0, mergeMs: 0, checkMs: 0, runMs: 0 } })
    const { notes, epochs, blocks: { redone, restored, ...blocks }, ...old } = report
    const read = decodeRecord(encodeRecord({ phase: 'ended', job: 'j', key: 'k', report: { ...old, blocks } as unknown as JobReport }))
    assert.deepEqual([read.report.notes, read.report.epochs, read.report.blocks], [notes, epochs, { ...blocks, redone, restored }])
  })

  it('keeps reports with absent fields, and refuses a record of another version', () => {
    const report = buildReport({ job: 'j', state: 'failed', created: 1, now: 2, inputs: [], inputDigests: [], output: { path: '/o', mediaType: 'x' }, bound: 0, priceUnit: 'credit', notes: [], timing: { prepareMs: 0, convertMs: 0, mergeMs: 0, checkMs: 0, runMs: 0 } })
    const encoded = encodeRecord({ phase: 'ended', job: 'j', key: 'k', report })
    assert.deepEqual(decodeRecord(encoded), { v: 2, phase: 'ended', job: 'j', key: 'k', report: JSON.parse(JSON.stringify(report)) })
  })
})

describe('coordinator/ready-queue and blocks that wait no more', () => {
  it('neither counts nor keeps those at the front', () => {
    const queue = new ReadyQueue()
    const blocks = Array.from({ length: 5 }, (_, i) => new Block(i, 10))
    for (const block of blocks.slice(1)) queue.push(block)
    queue.putBack(blocks[0] as Block)
    for (const i of [0, 1, 3]) blocks[i]!.state = 'done'
    queue.trim()
    // Block 3 is behind one that waits: it is passed over when its turn comes.
    assert.deepEqual([queue.length, queue.bytes], [3, 30])
    assert.equal(queue.take(), blocks[2])
    queue.trim()
    assert.deepEqual([queue.length, queue.bytes], [1, 10])
    assert.equal(queue.take(), blocks[4])
    queue.trim()
    assert.deepEqual([queue.length, queue.bytes], [0, 0])
  })
})

describe('coordinator/block-refs', () => {
  const stored = (name: string): StoredBlock => ({ digest: hash('sha256', name, 'buffer'), size: 1, path: name })

  it('removes a block when its last user lets go', async () => {
    const deleted: string[] = []
    const refs = new BlockRefs({ delete: async digest => { deleted.push(Buffer.from(digest).toString('hex')) }, get: async () => undefined }, () => 0, unexpected)
    const block = stored('a')
    assert.equal(refs.retain(block), true)
    assert.equal(refs.retain(block), true)
    refs.release(block.digest)
    assert.deepEqual(deleted, [])
    refs.release(block.digest)
    await refs.idle()
    assert.deepEqual(deleted, [Buffer.from(block.digest).toString('hex')])
  })

  it('looks whether a block that comes again survived the removal of its old file', async () => {
    let there = false
    const gate = Promise.withResolvers<void>()
    let now = 0
    const refs = new BlockRefs({ delete: () => gate.promise, get: async () => there ? stored('a') : undefined }, () => now, unexpected)
    refs.retain(stored('a'))
    refs.release(stored('a').digest)
    const again = refs.retain(stored('a'))
    assert.ok(again !== true)
    gate.resolve()
    assert.equal(await again, false)
    there = true
    assert.equal(await refs.retain(stored('a')), true)
    // Long after, nobody has to look any more.
    now = 60_000
    refs.retain(stored('b'))
    refs.release(stored('b').digest)
    assert.equal(refs.retain(stored('a')), true)
  })

  it('knows blocks that only jobs count which ended, and may be gone on with', () => {
    const refs = new BlockRefs({ delete: async () => {}, get: async () => undefined }, () => 0, unexpected)
    const { digest } = stored('a')
    assert.deepEqual([refs.has(digest), refs.needed(digest)], [false, false])
    refs.recall(digest)
    assert.deepEqual([refs.has(digest), refs.needed(digest)], [true, true])
    refs.rest(digest)
    assert.deepEqual([refs.has(digest), refs.needed(digest)], [true, false])
    refs.recall(digest)
    assert.equal(refs.needed(digest), true, 'another job has a block of the same content')
    refs.release(digest)
    assert.equal(refs.needed(digest), false)
    refs.wake(digest)
    assert.equal(refs.needed(digest), true)
    refs.release(digest)
    assert.equal(refs.has(digest), false)
  })

  it('tells a removal that failed', async () => {
    const failures: unknown[] = []
    const refs = new BlockRefs({ delete: async () => { throw new Error('disk') }, get: async () => undefined }, () => 0, error => { failures.push(error) })
    refs.retain(stored('a'))
    refs.release(stored('a').digest)
    await refs.idle()
    assert.equal(failures.length, 1)
  })
})

describe('coordinator/limiter', () => {
  it('runs so many at a time, in order, also after a failure', async () => {
    const limiter = new Limiter(2)
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
    const started: number[] = []
    const runs = gates.map(({ promise }, i) => limiter.run(async () => {
      started.push(i)
      await promise
      if (i === 0) throw new Error('first')
    }).catch((error: Error) => error.message))
    await Promise.resolve()
    assert.deepEqual(started, [0, 1])
    gates[0]!.resolve()
    await runs[0]
    assert.deepEqual(started, [0, 1, 2])
    for (const gate of gates) gate.resolve()
    assert.deepEqual(await Promise.all(runs), ['first', undefined, undefined, undefined, undefined])
    assert.deepEqual(started, [0, 1, 2, 3, 4])
  })
})

describe('coordinator/spec', () => {
  const request = { inputs: ['/in.csv'], to: 'parquet', output: '/out.parquet' }
  const inputs = [{ path: '/in.csv', mediaType: 'text/csv', size: 10, mtimeMs: 1.5 }]
  const to = { mediaType: 'application/vnd.apache.parquet' }

  it('names the same bytes the same, and two jobs of one description differently', () => {
    const nonce = new Uint8Array(16)
    const spec = makeSpec(request, inputs, to, 1, nonce)
    assert.equal(spec.id, makeSpec(request, inputs, to, 1, nonce).id)
    assert.match(spec.id, /^bafyrei[a-z2-7]{52}$/)
    assert.notEqual(makeSpec(request, inputs, to, 1).id, makeSpec(request, inputs, to, 1).id)
  })

  it('holds all of the request, so that the job can be run again from it', () => {
    const plain = makeSpec(request, inputs, to, 1)
    assert.deepEqual(readSpec(plain.bytes), { request: { ...request, overwrite: false, settings: {}, place: 'any', verify: 'sample' }, inputs, to, created: 1 })
    const full: Required<JobRequest> = {
      ...request, to: 'csv.gz', from: 'csv', overwrite: true, settings: { delimiter: ';' }, place: 'remote', nodes: [], maxPrice: '12', verify: 'all', blockBytes: 77, deadlineSeconds: 1.5, inFlight: 3, awaitCommit: true
    }
    const gzipped = { mediaType: 'text/csv', encoding: 'gzip' as const }
    assert.deepEqual(readSpec(makeSpec(full, inputs, gzipped, 2).bytes), { request: full, inputs, to: gzipped, created: 2 })
    assert.equal(readSpec(encodeCanonical({ v: 1 })), undefined, 'of an earlier version, which did not')
  })

  it('names content as the rest of the world does', () => {
    // Multibase base32 of: version 1, raw (0x55), sha2-256 (0x12) of 32 bytes, the digest. Written out, not by the library under test.
    const digest = hash('sha256', 'hello world', 'buffer')
    const bits = Array.from(Buffer.concat([Buffer.from([1, 0x55, 0x12, 32]), digest]), byte => byte.toString(2).padStart(8, '0')).join('')
    const text = (bits.match(/.{1,5}/g) ?? []).map(five => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five.padEnd(5, '0'), 2)]).join('')
    assert.equal(rawCid(digest), `b${text}`)
  })
})

describe('coordinator/report', () => {
  it('percentiles are of the values themselves', () => {
    assert.equal(percentile([], 0.5), 0)
    assert.equal(percentile([3, 1, 2], 0.5), 2)
    assert.equal(percentile(Array.from({ length: 100 }, (_, i) => i), 0.99), 99)
  })
})

describe('coordinator/job-errors', () => {
  it('keeps what a converter says and adds what was done to what the system says', () => {
    assert.deepEqual(toJobError(new ConversionError('contradiction', 'line 3', { line: 3 })), { code: 'contradiction', message: 'line 3', details: { line: 3 } })
    assert.equal(toJobError(new ConversionError('engine', 'x')).code, 'failed')
    assert.deepEqual(toJobError(new Error('EIO'), 'storing a result'), { code: 'failed', message: 'storing a result: EIO' })
  })

  it('says in one line why an output cannot be written', () => {
    for (const code of ['ENOENT', 'EACCES', 'EROFS', 'ENOSPC', 'EISDIR']) {
      const error = toOutputError(Object.assign(new Error('system'), { code }), '/data/out')
      assert.equal(error.code, 'output-unwritable')
      assert.match(error.message, /^cannot write '\/data\/out': .+$/)
    }
    assert.equal(toOutputError(Object.assign(new Error('system'), { code: 'EEXIST' }), '/data/out').code, 'output-exists')
  })
})
