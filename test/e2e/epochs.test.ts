import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { plan } from '../../daemon/block-convert/tables/sample.ts'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import { compareByReport } from '../fixtures/by-report.ts'
import { writeCsv } from '../fixtures/csv.ts'
import { followEvents } from '../fixtures/events.ts'
import { startTestnet, type Testnet } from '../fixtures/testnet.ts'

const SEED = 20261122
const BYTES = 10_000_000

/** Puts a letter into the numbers of rows that no sample shows, without moving a byte: in these gaps between samples, -1 being the last. */
async function contradict (input: string, gaps: number[]): Promise<void> {
  const bytes = await readFile(input)
  const windows = plan(bytes.length)
  const unseen = windows.slice(1).map(([next], i) => [windows[i]![0] + windows[i]![1], next] as const).filter(([from, to]) => to - from > 1000)
  for (const at of gaps) {
    const [from, to] = unseen.at(at)!
    const row = /\n(\d+),\d{4}-\d\d-\d\d /.exec(bytes.toString('latin1', from, to))
    assert.ok(row != null, 'a row begins between two samples')
    bytes[from + row.index + 1] = 'x'.charCodeAt(0)
  }
  await writeFile(input, bytes)
}

describe('a table that contradicts its samples, on other machines', function () {
  this.timeout(180_000)
  let testnet: Testnet
  let input: string
  let rows: number

  before(async () => { testnet = await startTestnet({ nodes: 3, seed: SEED }) })
  after(async () => { await testnet.down() })

  beforeEach(() => {
    input = join(testnet.dir, 'input.csv')
    rows = writeCsv(input, BYTES, SEED)
  })

  const convert = async (to: string): Promise<{ report: JobReport, events: JobEvent[] }> => {
    const output = join(testnet.dir, `out.${to}`)
    await rm(output, { force: true })
    const following = await followEvents(testnet.node('n0'))
    const events: JobEvent[] = []
    const followed = (async () => {
      for await (const event of following) {
        events.push(event)
        if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
      }
    })()
    const { code, stdout, stderr } = await testnet.weft(['convert', input, '--to', to, '-o', output, '--remote', '--block-size', '95kB', '--json'])
    assert.equal(code, 0, `${stderr}\n${stdout}`)
    await followed
    following.close()
    return { report: JSON.parse(stdout) as JobReport, events }
  }

  for (const to of ['parquet', 'ndjson']) {
    it(`late in the file: the ${to} is of the wider type, and what had been given out is done again`, async () => {
      await contradict(input, [-1])
      const { report, events } = await convert(to)
      assert.equal(report.epochs, 1)
      assert.ok(report.blocks.redone > 0, 'nothing was given out before')
      const at = events.findIndex(event => event.type === 'plan' && event.message.includes('was widened'))
      const before = new Set(events.slice(0, at).flatMap(event => event.type === 'block' && event.change === 'dispatched' ? [event.block] : []))
      assert.equal(report.blocks.redone, before.size)
      assert.deepEqual([report.blocks.done, report.blocks.remote, report.blocks.rejected], [report.blocks.total, report.blocks.total, 0])
      assert.ok(report.notes.some(({ code }) => code === 'schema-widened'))
      assert.deepEqual(await compareByReport(report), { value: 0, compared: rows })
    })
  }

  it('in several places', async () => {
    await contradict(input, [5, 15, 25, -1])
    const { report } = await convert('parquet')
    assert.ok(report.epochs >= 1)
    assert.deepEqual(await compareByReport(report), { value: 0, compared: rows })
  })
})
