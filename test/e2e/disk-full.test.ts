/** A disk that is full for a while, under a daemon's data directory: on the node that asks for a conversion, and on one that works for it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import { writeCsv } from '../fixtures/csv.ts'
import { requires } from '../fixtures/requires.ts'
import { memberOf, startSmallDisk, type SmallDisk } from '../fixtures/small-disk.ts'
import { collect, startTestnet, type Finished, type Testnet } from '../fixtures/testnet.ts'

const DISK_BYTES = 64_000_000
const INPUT_BYTES = 4_000_000
/** Results of these blocks are files of the block store, and entries of the journal. */
const LARGE_BLOCKS = '200kB'
const SMALL_BLOCKS = '40kB'

const sha256 = async (path: string): Promise<string> => createHash('sha256').update(await readFile(path)).digest('hex')

describe('a data directory whose disk is full for a while', function () {
  this.timeout(180_000)
  requires('userns', 'that a disk that is full for a while costs no more than the jobs that needed it')
  let testnet: Testnet
  let base: string
  let outputs: string
  let input: string
  let expected: string
  let small: SmallDisk

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'weft-full-'))
    outputs = await mkdtemp(join(base, 'outputs-'))
    input = join(base, 'in.csv')
    writeCsv(input, INPUT_BYTES, 3)
    // Slow enough for a disk to fill up under a job.
    testnet = await startTestnet({ nodes: 2, seed: 61, profile: { nodes: [0, 1].map(() => ({ cores: 1, faults: ['slow:4'] })) } })
    small = await startSmallDisk({ base, bytes: DISK_BYTES, config: await memberOf(testnet.node('n0'), testnet.nodes.flatMap(({ multiaddrs }) => multiaddrs)) })
    await small.start()
    const whole = join(outputs, 'expected.csv')
    const { code, stderr } = await testnet.weft(['convert', input, '--to', 'csv', '-o', whole, '--local'])
    assert.equal(code, 0, stderr)
    expected = await sha256(whole)
    await rm(whole)
  })

  after(async () => {
    await small?.close()
    await testnet?.down()
    if (base != null) await rm(base, { recursive: true, force: true })
  })

  afterEach(async () => { await small?.makeRoom() })

  /** Ends with nothing beside the outputs that were promised. */
  async function left (): Promise<string[]> {
    return await readdir(outputs)
  }

  /** Runs a conversion, and `when` a part of it is done. */
  async function during (start: () => ChildProcess, when: () => Promise<void>): Promise<Finished> {
    const child = start()
    const ended = collect(child)
    let said = ''
    const begun = new Promise<void>(resolve => {
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (/[1-9]\d* (of \d+ )?blocks/.test(said.replace(/blocks of about/g, ''))) resolve()
      })
    })
    await Promise.race([begun, once(child, 'exit')])
    assert.equal(child.exitCode, null, `it was over before its first block: ${said}`)
    await when()
    return await ended
  }

  const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? ''

  for (const blocks of [LARGE_BLOCKS, SMALL_BLOCKS]) {
    it(`of the node that asks: one line, exit 1, nothing left; and the next job is right without a restart (blocks of ${blocks})`, async () => {
      const output = join(outputs, 'out.csv')
      const args = ['convert', input, '--to', 'csv', '-o', output, '--remote', '--block-size', blocks]
      const { code, stdout, stderr } = await during(() => small.spawn(...args), async () => { await small.fill() })
      assert.equal(code, 1, stderr)
      assert.equal(stdout, '')
      assert.match(lastLine(stderr), new RegExp(`^weft: .*the disk is full for ${small.home} \\(\\d+ bytes free[^)]*\\): make room on that disk, `))
      assert.equal(stderr.split('\n').filter(line => line.includes('the disk is full')).length, 1, stderr)
      assert.deepEqual(await left(), [])
      const refused = await small.weft(...args)
      assert.equal(refused.code, 1, refused.stderr)
      assert.match(lastLine(refused.stderr), /the disk is full for/)
      assert.equal(small.running(), true)
      assert.equal((await small.weft('status')).code, 0)
      await small.makeRoom()
      const again = await small.weft(...args)
      assert.equal(again.code, 0, again.stderr)
      assert.equal(await sha256(output), expected)
      await rm(output)
      assert.deepEqual(await left(), [])
    })
  }

  it('of a node that works: others do what it cannot, alone it says why, and it works again once there is room', async () => {
    const output = join(outputs, 'out.csv')
    // Small enough for the lease: larger ones are refused long before the disk is full, which a disk of this size always is.
    const convert = ['convert', input, '--to', 'csv', '-o', output, '--remote', '--block-size', SMALL_BLOCKS]
    const shared = await during(() => testnet.spawn(convert), async () => { await small.fill() })
    assert.equal(shared.code, 0, shared.stderr)
    assert.equal(await sha256(output), expected)
    await rm(output)
    // What it was converting when its disk filled up is gone since.
    await small.fill()
    const alone = await testnet.weft([...convert, '--nodes', small.peerId(), '--deadline', '20s'])
    assert.notEqual(alone.code, 0, alone.stderr)
    assert.match(alone.stderr, /no space left|disk is full|bytes free|no room/i)
    assert.deepEqual(await left(), [])
    assert.equal(small.running(), true)
    await small.makeRoom()
    const again = await testnet.weft([...convert, '--nodes', small.peerId()])
    assert.equal(again.code, 0, again.stderr)
    assert.equal(await sha256(output), expected)
    await rm(output)
  })

  it('stops in order while the disk is full, and what is there afterwards is sound', async () => {
    await small.fill()
    assert.equal(await small.stop(), 0, small.log())
    await small.makeRoom()
    const { code, stdout } = await small.weft('doctor', '--deep', '--json')
    const { checks } = JSON.parse(stdout) as { checks: Array<{ name: string, state: string, says: string }> }
    const wrong = checks.filter(({ name, state }) => state !== 'ok' && !['daemon', 'disk'].includes(name))
    assert.deepEqual(wrong, [])
    assert.equal(checks.filter(({ name }) => ['journal', 'blocks', 'half-written', 'partial outputs'].includes(name)).length, 4)
    assert.equal(code, checks.some(({ state }) => state === 'failed') ? 1 : 0)
    assert.doesNotMatch(small.log(), /unhandled|uncaught/i)
    // A file that is not what it was is found, and the daemon starts all the same.
    await writeFile(join(small.dataDir, 'blocks', createHash('sha256').update('x').digest('hex')), 'y')
    assert.match((await small.weft('doctor', '--deep')).stdout, /is damaged/)
    await small.start()
    assert.equal(small.running(), true)
  })
})
