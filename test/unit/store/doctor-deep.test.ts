import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deepChecks } from '../../../cli/lib/doctor-deep.ts'
import { encodeRecord, encodeResult, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import type { DoctorCheck } from '../../../daemon/gateway/index.ts'
import { openDataDir } from '../../../daemon/store/index.ts'
import { resultEntry } from '../../fixtures/result-entry.ts'
import { report } from '../gateway/fake-node.ts'

const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest()

/** Turns one bit round, in the middle. */
async function flip (path: string): Promise<void> {
  const bytes = await readFile(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] as number) ^ 0x10
  await writeFile(path, bytes)
}

describe('doctor --deep and damage on the disk', () => {
  let folder: string
  let home: string
  let needed: string
  let unneeded: string

  /** One unfinished job with a small result in the journal and a large one in the store; a block of nobody beside it. */
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-deep-'))
    home = join(folder, 'home')
    await using dir = await openDataDir(home)
    const put = async (bytes: Uint8Array): Promise<string> => {
      const sink = await dir.blocks.sink()
      await sink.write(bytes)
      return (await sink.finish()).path
    }
    const [large, other] = [Buffer.alloc(100_000, 1), Buffer.alloc(1000, 2)]
    needed = await put(large)
    unneeded = await put(other)
    const journal = dir.journal('jobs')
    await journal.append(recordKey(1, 'k1'), encodeRecord({ phase: 'running', job: 'job-1', key: 'k1', spec: Uint8Array.of(1), output: join(folder, 'out'), report: report('job-1') }))
    await journal.append(resultKey('k1', 0), encodeResult(resultEntry({ digest: sha256(Buffer.from('small')), size: 5, bytes: Buffer.from('small') })))
    await journal.append(resultKey('k1', 1), encodeResult(resultEntry({ digest: sha256(large), size: large.length })))
  })

  afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

  const found = async (config?: string): Promise<DoctorCheck[]> => (await deepChecks(home, config)).filter(({ state }) => state !== 'ok')

  it('finds nothing where nothing is', async () => {
    assert.deepEqual(await found(), [])
    assert.deepEqual((await deepChecks(home)).map(({ name }) => name), ['journal', 'blocks', 'half-written', 'partial outputs'])
  })

  it('finds a flipped bit in a block that an unfinished job needs', async () => {
    await flip(needed)
    const [check, ...others] = await found()
    assert.deepEqual(others, [])
    assert.equal(check?.state, 'failed')
    assert.equal(check?.says, `${needed} is damaged (its bytes are not those of its digest); an unfinished job has its result in it`)
    assert.match(check?.mend ?? '', /^rm '.+': that part of the job is then converted again; /)
  })

  it('finds one in a block that nobody needs, and says so', async () => {
    await flip(unneeded)
    const [check, ...others] = await found()
    assert.deepEqual(others, [])
    assert.match(check?.says ?? '', /no job needs it, and no output depends on it$/)
    assert.doesNotMatch(check?.mend ?? '', /converted again/)
  })

  it('says that a needed block is missing', async () => {
    await rm(needed)
    const checks = await found()
    assert.deepEqual(checks.map(({ name, state }) => [name, state]), [['blocks', 'warning']])
    assert.match(checks[0]?.says ?? '', /a result of an unfinished job is missing/)
  })

  it('finds a flipped bit in a result that is in the journal', async () => {
    await using dir = await openDataDir(home)
    const entry = encodeResult(resultEntry({ digest: sha256(Buffer.from('small')), size: 5, bytes: Buffer.from('small') }))
    entry[entry.length - 1]! ^= 1
    await dir.journal('jobs').append(resultKey('k1', 0), entry)
    await dir.close()
    const checks = await found()
    assert.deepEqual(checks.map(({ name, state }) => [name, state]), [['journal', 'failed']])
    assert.match(checks[0]?.says ?? '', /^an entry is unreadable: blk\/k1\/0000000: /)
    assert.match(checks[0]?.mend ?? '', /made again/)
  })

  it('says what a killed run left half-written, and that the next start removes it', async () => {
    await writeFile(join(home, 'blocks', 'incoming', 'half'), 'abc')
    await mkdir(join(home, 'scratch', 'w'), { recursive: true })
    await writeFile(join(home, 'scratch', 'w', 'input'), Buffer.alloc(2000))
    const checks = await found()
    assert.deepEqual(checks.map(({ name, state }) => [name, state]), [['half-written', 'warning'], ['half-written', 'warning']])
    assert.match(checks[0]?.says ?? '', /incoming.half \(3 B\)/)
    assert.match(checks[1]?.says ?? '', /scratch.w \(2(\.0)? kB\)/)
    await (await openDataDir(home)).close()
    assert.deepEqual(await found(), [])
  })

  it('names a bounded number, and counts the rest', async () => {
    for (let i = 0; i < 20; i++) await writeFile(join(home, 'blocks', 'incoming', `half-${i}`), '')
    const checks = await found()
    assert.equal(checks.length, 9)
    assert.equal(checks[8]?.says, 'and 12 more like these')
  })

  it('says how much of the quota is used', async () => {
    const config = join(folder, 'config.json')
    await writeFile(config, JSON.stringify({ network: 'net-1', store: { quotaBytes: 1_000_000 } }))
    assert.match((await deepChecks(home, config)).find(({ name }) => name === 'blocks')?.says ?? '', /^2 stored blocks \(101 kB of the 1(\.0)? MB of store\.quotaBytes\)/)
    await writeFile(config, JSON.stringify({ network: 'net-1', store: { quotaBytes: 1000 } }))
    const [check] = await found(config)
    assert.match(check?.says ?? '', /more than they may take/)
  })
})
