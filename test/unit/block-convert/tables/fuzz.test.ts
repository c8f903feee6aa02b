/** A small fixed run of the random tables of test/fuzz: every direction, read back by readers that are not ours. `npm run fuzz` runs thousands. */
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runBatch } from '../../../fuzz/batch.ts'
import { DIRECTIONS, nameOf } from '../../../fuzz/law.ts'

const SEED = 20261121

/** Some 50 ms each. */
const TABLES = 2

describe('tables: random tables, read back by other readers', function () {
  this.timeout(60_000)

  for (const [i, direction] of DIRECTIONS.entries()) {
    it(`survive ${nameOf(direction)}`, async () => {
      const { tables, failure } = await runBatch({ direction, seed: SEED + i, tables: TABLES, nested: true, late: false, out: join(tmpdir(), 'weft-fuzz-failures') })
      if (failure != null) assert.fail(`${failure.message}\n  ${failure.folder}\n  ${failure.replay}`)
      assert.equal(tables, TABLES)
    })
  }
})
