/** Prices decide where the blocks of a running job go, between real daemons. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import { followEvents } from '../fixtures/events.ts'
import { startTestnet, type Testnet } from '../fixtures/testnet.ts'

const SEED = 20261204
const BLOCK_BYTES = 10_000
const BLOCKS = 200
/** Blocks by a worker that show that it takes part. */
const SOME = 20
const LIMIT = '50'

describe('prices', function () {
  this.timeout(60_000)
  let testnet: Testnet
  let input: string

  before(async () => {
    // Each block takes 20 ms at least, so that the job lasts while prices change.
    const node = (price: string): object => ({ price, faults: ['slow:2'] })
    testnet = await startTestnet({ nodes: 3, seed: SEED, profile: { nodes: [node('0'), node('10'), node('20')] } })
    input = join(testnet.dir, 'input.bin')
    await writeFile(input, randomFillSync(new Uint8Array(BLOCKS * BLOCK_BYTES)))
  })
  after(async () => { await testnet.down() })

  const call = async (name: string, method: string, path: string, body: object): Promise<unknown> => {
    const { api, tokenFile } = testnet.node(name)
    const token = (await readFile(tokenFile, 'utf8')).trim()
    const response = await fetch(`${api}${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const answer = await response.json()
    assert.ok(response.ok, JSON.stringify(answer))
    return answer
  }
  const ask = async (name: string, price: string): Promise<void> => { await call(name, 'PUT', '/prices/posted', { price }) }

  it('a worker whose price rises over --max-price gets no further block, and gets blocks again when it falls back', async () => {
    const output = join(testnet.dir, 'out.copy')
    const [one, two] = [testnet.node('n1').peerId, testnet.node('n2').peerId]
    const following = await followEvents(testnet.node('n0'))
    const { job } = await call('n0', 'POST', '/jobs', {
      inputs: [input], from: 'application/octet-stream', to: 'copy', output, place: 'remote', maxPrice: LIMIT, blockBytes: BLOCK_BYTES, inFlight: 2
    }) as { job: string }
    const done = { [one]: 0, [two]: 0 }
    let dispatched = 0
    let phase: 'cheap' | 'raised' | 'dear' | 'lowered' | 'cheap again' = 'cheap'
    const said: string[] = []
    for await (const event of following as AsyncIterable<JobEvent>) {
      if (event.job !== job) continue
      if (event.type === 'worker' && event.peer === one) {
        said.push(`${event.change}: ${event.reason ?? ''}`)
        if (phase === 'raised' && event.change === 'refused') {
          phase = 'dear'
          done[two] = 0
          dispatched = 0
        }
      }
      if (event.type === 'block' && event.change === 'dispatched' && event.peer === one) {
        assert.ok(phase !== 'dear', `block ${event.block} went to a worker over the limit`)
        // Not told by the notice of its price: of those there is at most one a second.
        if (phase === 'lowered') {
          phase = 'cheap again'
          dispatched = 0
        }
        dispatched++
      }
      if (event.type === 'block' && event.change === 'done') {
        done[event.peer]!++
        if (phase === 'cheap' && done[one]! >= SOME && done[two]! >= SOME) {
          phase = 'raised'
          await ask('n1', '51')
        } else if (phase === 'dear' && done[two]! >= SOME) {
          phase = 'lowered'
          await ask('n1', '10')
        }
      }
      if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
    }
    following.close()
    assert.equal(phase, 'cheap again', said.join('\n'))
    assert.ok(dispatched > 0, 'it got blocks again')
    assert.ok(said.includes('refused: price: it asks 51 microcredit per resource hour, the limit is 50'), said.join('\n'))
    const { stdout } = await testnet.weft(['jobs', 'show', job, '--json'])
    const report = JSON.parse(stdout) as JobReport
    assert.equal(report.state, 'done', report.error?.message)
    // A block that waited at a worker may have been taken back for the other one: the price cost no block twice, though.
    assert.deepEqual([report.blocks.done, report.blocks.rejected, report.cost], [BLOCKS, 0, '0'])
    assert.deepEqual(report.workers.map(({ peer, price, unit }) => `${peer} ${price} ${unit}`).toSorted(), [`${one} 10 credit`, `${two} 20 credit`].toSorted())
    assert.deepEqual(await readFile(output), await readFile(input))
  })

  it('a job whose only worker asks too much for a while goes on when the price has fallen back', async () => {
    const one = testnet.node('n1').peerId
    const output = join(testnet.dir, 'alone.copy')
    const following = await followEvents(testnet.node('n0'))
    const { job } = await call('n0', 'POST', '/jobs', {
      inputs: [input], from: 'application/octet-stream', to: 'copy', output, place: 'remote', nodes: [one], maxPrice: LIMIT, blockBytes: BLOCK_BYTES, inFlight: 2
    }) as { job: string }
    let [done, raised, refused] = [0, false, false]
    let end: string | undefined
    for await (const event of following as AsyncIterable<JobEvent>) {
      if (event.job !== job) continue
      if (event.type === 'block' && event.change === 'done' && ++done >= SOME && !raised) {
        raised = true
        await ask('n1', '51')
      } else if (event.type === 'worker' && event.peer === one && event.change === 'refused') {
        refused = true
        // The news of it comes as late as news of prices come.
        await ask('n1', '10')
      } else if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) {
        end = event.error?.message ?? event.state
        break
      }
    }
    following.close()
    assert.ok(refused)
    assert.equal(end, 'done')
  })

  it('nobody within the price: exit 4, and how many were left out', async () => {
    const { code, stdout } = await testnet.weft(['convert', input, '--to', 'copy', '--from', 'application/octet-stream', '-o', 'dear.copy', '--remote', '--max-price', '9', '--json'])
    assert.equal(code, 4, stdout)
    const { error } = JSON.parse(stdout) as { error: { code: string, message: string } }
    assert.equal(error.code, 'no-provider')
    assert.match(error.message, /^nobody offers this conversion for at most 9 microcredit per resource hour: 2 providers were left out for the price/)
  })

  it('a price that is none is wrong usage', async () => {
    for (const price of ['1.5.1', '-1', 'cheap', '1'.repeat(20)]) {
      const { code, stderr } = await testnet.weft(['convert', input, '--to', 'copy', '-o', 'x.copy', `--max-price=${price}`])
      assert.equal(code, 2, stderr)
      assert.match(stderr, /--max-price: '.*' is no amount|'maxPrice': expected a whole number/)
    }
  })
})
