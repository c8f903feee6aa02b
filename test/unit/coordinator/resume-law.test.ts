import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import fc from 'fast-check'
import { decodeRecord, decodeResult, partsOfResultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { CrashRig, ended, type Op } from './crash-rig.ts'

/** Blocks whose accepted result, of the last schema, is on the disk. */
function accepted (ops: Op[], lastEpoch: number): Set<number> {
  const entries = new Map<string, Uint8Array>()
  for (const op of ops) {
    if (op.type === 'put' && op.key.startsWith('blk/')) entries.set(op.key, op.value)
    else if (op.type === 'del') entries.delete(op.key)
  }
  return new Set([...entries].filter(([, value]) => decodeResult(value)?.epoch === lastEpoch).map(([key]) => partsOfResultKey(key).block))
}

/** How far the job's last record says it was; undefined: it was not told of yet. */
function phase (ops: Op[]): string | undefined {
  const last = ops.findLast(op => op.type === 'put' && op.key.startsWith('job/'))
  return last?.type === 'put' ? decodeRecord(last.value).phase : undefined
}

describe('coordinator/resume: whatever beginning of what was written survives', function () {
  this.timeout(120_000)

  it('the job ends by itself with the right output, and no block whose result was durable is converted again, also when it happens twice', async () => {
    /** Lives that began with some blocks done, and of these those of an input that contradicts its first schema. */
    let [partly, partlyWidened] = [0, 0]
    const law = fc.asyncProperty(fc.record({
      blocks: fc.integer({ min: 1, max: 10 }),
      blockBytes: fc.constantFrom(300, 70_000),
      widenAt: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 2 }),
      verify: fc.constantFrom('none' as const, 'sample' as const, 'all' as const),
      /** Parts in a thousand of what was written. */
      crashes: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 3 })
    }), async ({ blocks, blockBytes, widenAt, verify, crashes }) => {
      const rig = await CrashRig.make()
      try {
        await rig.write(blocks, blockBytes)
        const changes = widenAt.filter(at => at < blocks).toSorted((a, b) => a - b)
        const wanted = await rig.wanted(blockBytes, changes)
        let { report, ops } = await rig.run(rig.request(blockBytes, { verify }), { widenAt: changes })
        assert.equal(report.state, 'done', report.error?.message)
        assert.deepEqual(await readFile(rig.output), Buffer.from(wanted))
        for (const crash of crashes) {
          const left = ops.slice(0, Math.round(crash / 1000 * ops.length))
          const safe = accepted(left, changes.length)
          const before = phase(left)
          if (safe.size > 0 && safe.size < blocks) partly++
          if (changes.length > 0 && safe.size > 0) partlyWidened++
          const life = await rig.life(left, { widenAt: changes })
          await life.coordinator.start()
          const resumed = await ended(life)
          await life.stop()
          if (before == null) {
            assert.equal(resumed, undefined)
            return
          }
          assert.deepEqual([resumed?.state, resumed?.error], ['done', undefined])
          assert.deepEqual(await readFile(rig.output), Buffer.from(wanted))
          assert.deepEqual(await readdir(dirname(rig.output)), ['in.bin', 'out.copy'])
          assert.deepEqual(life.given.filter(block => safe.has(block)), [], `blocks ${[...safe].join(' ')} were done`)
          const done = before === 'ended' || left.some(op => op.type === 'output')
          assert.equal(resumed?.resumed, report.resumed || !done)
          if (!done) assert.ok((resumed?.blocks.restored ?? 0) >= safe.size)
          assert.equal(accepted(life.ops, changes.length).size, 0, 'no entry is left')
          ;({ ops } = life)
          report = resumed as typeof report
        }
      } finally {
        await rig.remove()
      }
    })
    const numRuns = process.env['WEFT_TEST_FULL'] === '1' ? 300 : 40
    await fc.assert(law, { numRuns })
    assert.ok(partly >= numRuns / 4 && partlyWidened >= numRuns / 20, `only ${partly} and ${partlyWidened} of the lives began in the middle`)
  })
})
