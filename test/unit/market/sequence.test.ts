import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Level } from 'level'
import { SEQUENCE_RESERVED_MS } from '../../../daemon/market/index.ts'
import { openSequence } from '../../../daemon/market/sequence.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { NOW } from './fixtures.ts'

describe('market: sequence of bulletins', () => {
  let path: string
  let db: Level<string, Uint8Array>
  let writes = 0
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'weft-sequence-'))
    db = new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' })
    await db.open()
    writes = 0
    db.on('write', () => { writes++ })
  })
  afterEach(async () => {
    await db.close()
    await rm(path, { recursive: true })
  })

  it('follows the clock, with a write a minute', async () => {
    const sequence = await openSequence(db)
    for (let now = NOW; now < NOW + SEQUENCE_RESERVED_MS; now += 1000) assert.equal(await sequence.next(now), now)
    assert.equal(writes, 1)
    assert.equal(await sequence.next(NOW), NOW + SEQUENCE_RESERVED_MS - 999, 'or goes on by one')
  })

  it('rises over a stop without running ahead, and over a crash by what was reserved', async () => {
    const first = await openSequence(db)
    await first.next(NOW)
    await first.close()
    const second = await openSequence(db)
    assert.equal(await second.next(NOW), NOW + 1)
    const crashed = await openSequence(db)
    assert.equal(await crashed.next(NOW), NOW + SEQUENCE_RESERVED_MS + 1)
  })

  it('rises over any restarts while the clock is set back by less than clocks may differ, and is never taken for ahead', async () => {
    const event = fc.record({ back: fc.integer({ min: 1, max: CLOCK_SKEW_MS - 1 }), told: fc.integer({ min: 1, max: 5 }), clean: fc.boolean() })
    await fc.assert(fc.asyncProperty(event, async ({ back, told, clean }) => {
      await db.clear()
      const before = await openSequence(db)
      let last = 0
      for (let i = 0; i < told; i++) last = await before.next(NOW + i)
      if (clean) await before.close()
      const after = await openSequence(db)
      for (let i = 0; i < 3; i++) {
        const next = await after.next(NOW + told - back + i)
        assert.ok(next > last, `${next} after ${last}`)
        assert.ok(next <= NOW + told - back + i + CLOCK_SKEW_MS)
        last = next
      }
    }), { numRuns: 50 })
  })

  it('leaves a time that was wrong behind, and works without a database', async () => {
    await (await openSequence(db)).next(NOW + 3_600_000)
    assert.equal(await (await openSequence(db)).next(NOW), NOW)
    assert.equal(await (await openSequence()).next(NOW), NOW)
  })
})
