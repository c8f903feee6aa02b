import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTables } from '../../scripts/compare.ts'
import { writeCsv } from '../fixtures/csv.ts'
import { followEvents } from '../fixtures/events.ts'
import { startTestnet, type Testnet } from '../fixtures/testnet.ts'

const SEED = 20261122
const BYTES = 2_500_000
const BLOCK_SIZE = '50kB'
const BLOCKS_LEAST = 24

interface Report {
  job: string
  state: string
  blocks: { total: number, rejected: number, remote: number }
  check: { blocksChecked: number, distance: number }
  workers: Array<{ peer: string, blocks: number }>
}

describe('workers that lie', function () {
  this.timeout(60_000)
  let testnet: Testnet
  let input: string

  const convert = (output: string, ...args: string[]): ReturnType<Testnet['weft']> =>
    testnet.weft(['convert', input, '--to', 'parquet', '-o', join(testnet.dir, output), '--remote', '--block-size', BLOCK_SIZE, ...args])
  const idOf = (name: string): string => testnet.node(name).peerId
  /** Outputs, whole or partial. */
  const written = async (): Promise<string[]> => (await readdir(testnet.dir)).filter(name => name.includes('parquet') || name.includes('partial')).sort()

  before(async () => {
    // n1 lies about a third of its blocks, n2 never, n3 and n4 always.
    const faults = [[], ['wrong:0.3'], [], ['wrong'], ['wrong']]
    testnet = await startTestnet({ nodes: faults.length, seed: SEED, profile: { nodes: faults.map(list => ({ faults: list })) } })
    input = join(testnet.dir, 'input.csv')
    writeCsv(input, BYTES, SEED)
  })

  after(async () => { await testnet.down() })

  it('one that lies now and then is found, and nothing of its lies is in the output', async () => {
    const events = await followEvents(testnet.node('n0'))
    const { code, stdout, stderr } = await convert('out.parquet', '--nodes', `${idOf('n1')},${idOf('n2')}`, '--verify', 'all', '--json')
    assert.equal(code, 0, `${stderr}\n${stdout}`)
    const report = JSON.parse(stdout) as Report
    assert.ok(report.blocks.total >= BLOCKS_LEAST, `${report.blocks.total} blocks`)
    assert.equal(report.blocks.remote, report.blocks.total)
    assert.ok(report.blocks.rejected > 0)
    assert.equal(report.check.blocksChecked, report.blocks.total)
    const distrusted: string[] = []
    for await (const event of events) {
      if (event.type === 'worker' && event.change === 'distrusted') distrusted.push(event.peer)
      if (event.type === 'state' && event.state === 'done') break
    }
    events.close()
    assert.deepEqual(distrusted, [idOf('n1')])
    const { rows, difference } = await compareTables(input, join(testnet.dir, 'out.parquet'))
    assert.equal(difference, undefined)
    assert.ok(rows > 10_000)
  })

  it('and gets no work of a later job', async () => {
    const { code, stderr } = await convert('later.parquet', '--nodes', idOf('n1'))
    assert.equal(code, 4, stderr)
    assert.match(stderr.trim().split('\n').at(-1) ?? '', new RegExp(`${idOf('n1')}: policy: it gave a wrong result`))
    assert.deepEqual(await written(), ['out.parquet'])
  })

  it('where all lie there is no output, nor anything of one', async () => {
    const { code, stderr } = await convert('lies.parquet', '--nodes', `${idOf('n3')},${idOf('n4')}`)
    assert.equal(code, 5, stderr)
    assert.match(stderr.trim().split('\n').at(-1) ?? '', /^weft: .*wrong result/)
    for (const name of ['n3', 'n4']) assert.match(stderr, new RegExp(`worker …${idOf(name).slice(-8)} gave a wrong result`))
    assert.deepEqual(await written(), ['out.parquet'])
  })
})
