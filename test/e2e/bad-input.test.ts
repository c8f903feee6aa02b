/**
 * The bad-input table (bad-input/rows.ts) against one running network, each row here and on other machines: sound inputs give the right
 * output, all others one line and the right exit code, and nothing is ever left half done.
 */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { collect, startTestnet, type Finished, type Testnet } from '../fixtures/testnet.ts'
import { cellsOf, type Report, type Row } from './bad-input/row.ts'
import { ROWS } from './bad-input/rows.ts'

const PLACES = ['--local', '--remote'] as const
type Place = typeof PLACES[number]

/** Commands run side by side: more than the cores, for most of the time a command waits for its daemon. */
const AT_ONCE = 4

describe('bad input', function () {
  this.timeout(180_000)
  let testnet: Testnet
  let base: string
  const runs = new Map<string, PromiseWithResolvers<{ folder: string, said: Finished }>>()

  for (const row of ROWS) {
    for (const place of PLACES) {
      const run = Promise.withResolvers<{ folder: string, said: Finished }>()
      // Whoever awaits it is told; until then nobody is unhandled.
      run.promise.catch(() => {})
      runs.set(key(row, place), run)
    }
  }

  before(async () => {
    testnet = await startTestnet({ nodes: 3, seed: 31 })
    base = await mkdtemp(join(tmpdir(), 'weft-bad-input-'))
    const waiting = ROWS.flatMap(row => PLACES.map(place => ({ row, place })))
    for (let i = 0; i < AT_ONCE; i++) void work(waiting)
  })

  after(async () => {
    await testnet?.down()
    if (base != null) await rm(base, { recursive: true, force: true })
  })

  async function work (waiting: Array<{ row: Row, place: Place }>): Promise<void> {
    for (let next = waiting.shift(); next != null; next = waiting.shift()) {
      const { resolve, reject } = runs.get(key(next.row, next.place))!
      await execute(next.row, next.place).then(resolve, reject)
    }
  }

  async function execute (row: Row, place: Place): Promise<{ folder: string, said: Finished }> {
    const folder = await mkdtemp(join(base, 'row-'))
    await mkdir(join(folder, 'out'))
    for (const [name, content] of Object.entries(row.files)) await make(join(folder, name), content)
    const child = testnet.spawn(['convert', ...row.args, place, '--json'], { cwd: folder })
    return { folder, said: await collect(child, row.input == null ? undefined : Buffer.from(row.input)) }
  }

  for (const place of PLACES) {
    describe(place, () => {
      for (const row of ROWS) {
        it(`${row.name}: ${row.code === 0 ? 'is converted' : `exit ${row.code}`}`, async () => {
          const { folder, said } = await runs.get(key(row, place))!.promise
          const told = `exit ${said.code}\n${said.stderr}\n${said.stdout.slice(0, 2000)}`
          assert.equal(said.code, row.code, told)
          assert.equal(said.signal, null)
          if (row.code === 0) await succeeded(row, place, folder, said)
          else failed(row, said)
          assert.deepEqual((await readdir(join(folder, 'out'))).toSorted(), row.left ?? (row.output == null ? [] : [row.output.name]), told)
          for (const [name, content] of Object.entries(row.files)) {
            if (typeof content !== 'function' && !name.endsWith('/')) assert.ok(Buffer.from(content).equals(await readFile(join(folder, name))), `${name} was changed`)
          }
        })
      }
    })
  }

  it('leaves no temporary file behind', async () => {
    await Promise.allSettled([...runs.values()].map(async ({ promise }) => await promise))
    const scratch = join(testnet.node('n0').dataDir, 'scratch')
    const left = (await readdir(scratch, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
    assert.deepEqual(left, [])
  })

  it('ends well when the reader of its output has enough', async () => {
    const folder = await mkdtemp(join(base, 'pipe-'))
    await writeFile(join(folder, 'in.csv'), `a,b\n${Array.from({ length: 100_000 }, (_, i) => `${i},some text that fills the pipe ${i}\n`).join('')}`)
    for (const place of PLACES) {
      const child = testnet.spawn(['convert', 'in.csv', '--to', 'ndjson', '-o', '-', place, '--json'], { cwd: folder })
      const first = new Promise<Buffer>((resolve, reject) => {
        child.stdout?.once('data', (chunk: Buffer) => {
          resolve(chunk)
          child.stdout?.destroy()
        })
        child.once('error', reject)
      })
      const { code, stderr } = await collect(child)
      assert.equal((await first).subarray(0, 15).toString(), '{"a":0,"b":"som')
      assert.equal(code, 0, stderr)
      assert.ok(!stderr.includes('EPIPE'), stderr)
    }
    assert.deepEqual(await readdir(folder), ['in.csv'])
  })
})

function key (row: Row, place: Place): string {
  return `${place} ${row.name}`
}

async function make (path: string, content: Row['files'][string]): Promise<void> {
  if (path.endsWith('/')) {
    await mkdir(path, { recursive: true })
    return
  }
  await mkdir(dirname(path), { recursive: true })
  if (typeof content === 'function') await content(path)
  else await writeFile(path, content)
}

async function succeeded (row: Row, place: Place, folder: string, { stdout, stderr }: Finished): Promise<void> {
  const report = JSON.parse(stdout) as Report
  assert.equal(report.state, 'done')
  assert.equal(place === '--local' ? report.blocks.remote : report.blocks.local, 0)
  assert.equal(stderr, '')
  row.report?.(report)
  if (row.output == null) return
  const { name, format, csv, names, rows } = row.output
  const found = await cellsOf(join(folder, 'out', name), format, csv)
  assert.deepEqual(found.names, names)
  assert.deepEqual(found.rows, rows)
}

function failed (row: Row, { stdout, stderr }: Finished): void {
  assert.match(stderr, /^weft: [^\n]+\n$/)
  if (row.says instanceof RegExp) assert.match(stderr, row.says)
  else assert.ok(stderr.includes(row.says ?? ''), `'${row.says}' is not in: ${stderr}`)
  const { error } = JSON.parse(stdout) as Report
  assert.equal(stderr, `weft: ${error?.message}\n`)
}
