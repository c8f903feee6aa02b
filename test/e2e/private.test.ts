/** Two machines (network namespaces joined by a cable) become a private network, by invitation and without any address. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JobReport } from '../../daemon/coordinator/index.ts'
import { collect } from '../fixtures/testnet.ts'
import { requires } from '../fixtures/requires.ts'
import { environment, root, weft } from './cli/fixture.ts'

const CSV = join(root, 'node_modules', 'vega-datasets', 'data', 'airports.csv')

describe('end to end: a private network of two machines', function () {
  this.timeout(120_000)
  requires('netns', 'that two machines form a private network')

  let folder: string
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-private-')) })
  afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

  for (const [mode, what] of [['invite', 'init, start, invite, join, start, convert'], ['mdns', 'a network and its secret, with no address at all']] as const) {
    it(`converts on the other machine after ${what}`, async () => {
      const { WEFT_HOME: _, ...env } = environment(folder)
      const script = join(root, 'test', 'fixtures', 'two-machines.sh')
      const { code, stdout, stderr } = await collect(spawn('unshare', ['--user', '--map-root-user', '--net', '--mount', script, folder, weft, CSV, mode], { env, stdio: ['pipe', 'pipe', 'pipe'] }))
      assert.equal(code, 0, stderr)
      const report = JSON.parse(stdout) as JobReport
      assert.equal(report.state, 'done')
      assert.deepEqual([report.blocks.local, report.blocks.remote], [0, report.blocks.total])
      const rows = (await readFile(CSV, 'utf8')).trimEnd().split('\n').length - 1
      assert.equal((await readFile(join(folder, 'out.ndjson'), 'utf8')).trimEnd().split('\n').length, rows)
    })
  }
})
