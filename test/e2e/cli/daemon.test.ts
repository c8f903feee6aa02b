import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { isRunning } from '../../../cli/lib/process.ts'
import type { NodeStatus } from '../../../daemon/gateway/index.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'
import { root, said, User, type Running } from './fixture.ts'

const CSV = join(root, 'node_modules', 'vega-datasets', 'data', 'airports.csv')

describe('command line, with a real daemon', function () {
  this.timeout(60_000)
  let user: User
  beforeEach(async () => { user = await User.make() })
  afterEach(async () => { await user.remove() })

  const exists = async (name: string): Promise<boolean> => await stat(join(user.home, name)).then(() => true, () => false)

  it('init, start, status, a second start, convert, stop', async () => {
    const made = JSON.parse((await user.run(['init', '--json'])).stdout) as { peerId: string, network: string }
    assert.match(made.network, /^net-[0-9a-f]{10}$/)
    for (const name of ['node.key', 'operator.key', 'config.json']) assert.equal((await stat(join(user.home, name))).mode & 0o777, 0o600, name)
    assert.equal((await stat(user.home)).mode & 0o777, 0o700)
    const again = await user.run(['init'])
    assert.equal(again.code, 1)
    assert.match(again.stderr, /^weft: .*exists already[^\n]*\n$/)

    const daemon = user.start(['start', '--json'])
    await said(daemon, /weft: ready/)
    const { api, peerId, network, state, multiaddrs, pid } = JSON.parse((await user.run(['status', '--json'])).stdout) as NodeStatus
    assert.deepEqual({ peerId, network, state }, { peerId: made.peerId, network: made.network, state: 'ready' })
    assert.match(multiaddrs[0] ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\//)
    assert.equal(daemon.stderr().match(/weft: ready/g)?.length, 1)
    for (const name of ['api', 'token']) assert.equal((await stat(join(user.home, name))).mode & 0o777, 0o600, name)
    assert.equal((await fetch(`${api}/readyz`)).status, 200)
    assert.equal((await fetch(`${api}/status`)).status, 401)

    const second = await user.run(['start'])
    assert.equal(second.code, 1)
    assert.match(second.stderr, new RegExp(`^weft: another weft \\(process ${pid}\\) is using [^\\n]*\\n$`))

    const { code, stdout } = await user.run(['convert', CSV, '--to', 'ndjson', '--json'])
    assert.equal(code, 0)
    assert.deepEqual((JSON.parse(stdout) as JobReport).outputs.map(({ path }) => path), [join(user.folder, 'airports.ndjson')])
    const exist = await user.run(['convert', CSV, '--to', 'ndjson'])
    assert.equal(exist.code, 1)
    assert.match(exist.stderr, /--overwrite/)

    const stopped = await user.run(['stop'])
    assert.equal(stopped.code, 0, stopped.stderr)
    assert.equal(isRunning(pid), false)
    const ended = await daemon.ended
    assert.equal(ended.code, 0)
    assert.equal((JSON.parse(ended.stdout) as NodeStatus).peerId, made.peerId)
    for (const name of ['api', 'token', 'pid']) assert.equal(await exists(name), false, name)
    assert.equal((await user.run(['status'])).code, 3)
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`${signal} ends an idle daemon in good order`, async () => {
      const daemon = await user.daemon()
      daemon.child.kill(signal)
      const { code, stderr } = await daemon.ended
      assert.equal(code, 0)
      assert.match(stderr, /weft: stopped\n$/)
    })
  }

  /** A job of the daemon's own that takes a while. */
  async function busy (milliseconds: number): Promise<Running> {
    const input = join(user.folder, 'input.bin')
    await writeFile(input, Buffer.alloc(64))
    const job = user.start(['convert', input, '--from', 'bin', '--to', 'sleep', '--set', `milliseconds=${milliseconds}`, '--local', '-o', join(user.folder, 'out.sleep')])
    for (;;) {
      const { jobs } = JSON.parse((await user.run(['jobs', '--json'])).stdout) as { jobs: JobReport[] }
      if (jobs[0]?.state === 'running') return job
    }
  }

  it('the first signal drains: what runs is finished first, and that is said', async () => {
    const daemon = await user.daemon()
    const job = await busy(1500)
    daemon.child.kill('SIGTERM')
    await said(daemon, /draining: finishing 1 own job first/)
    const { code, stderr } = await job.ended
    assert.equal(code, 0, stderr)
    assert.equal((await daemon.ended).code, 0)
    assert.deepEqual((await readdir(user.folder)).toSorted(), ['home', 'input.bin', 'out.sleep'])
  })

  it('the second signal stops at once, and leaves nothing partial', async () => {
    const daemon = await user.daemon()
    const job = await busy(30_000)
    daemon.child.kill('SIGTERM')
    await said(daemon, /draining: finishing 1 own job first/)
    daemon.child.kill('SIGTERM')
    assert.equal((await daemon.ended).code, 0)
    const { code, stderr } = await job.ended
    assert.equal(code, 3, stderr)
    assert.match(stderr, /^weft: [^\n]+\n$/m)
    assert.deepEqual((await readdir(user.folder)).toSorted(), ['home', 'input.bin'])
  })

  it('a taken port, for the API and for peers, is one line that names it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    for (const args of [['--api-port', String(port)], ['--listen', `/ip4/127.0.0.1/tcp/${port}`]]) {
      const { code, stderr } = await user.run(['start', '--log-level', 'silent', ...args])
      assert.equal(code, 1)
      assert.match(stderr, new RegExp(`^weft: [^\\n]*${port}[^\\n]*\\n$`))
    }
    taken.close()
  })

  it('a folder that cannot be used is one line', async function () {
    await mkdir(user.home)
    await writeFile(join(user.home, 'version'), '99\n')
    const newer = await user.run(['start'])
    assert.equal(newer.code, 1)
    assert.match(newer.stderr, /^weft: [^\n]*use a newer weft\n$/)
    const file = join(user.folder, 'file')
    await writeFile(file, '')
    const notFolder = await user.run(['start'], { env: { WEFT_HOME: file } })
    assert.equal(notFolder.code, 1)
    assert.match(notFolder.stderr, /^weft: [^\n]+\n$/)
  })

  describe('without a daemon', () => {
    it('convert runs a node of its own, which is gone afterwards', async () => {
      await copyFile(CSV, join(user.folder, 'in.csv'))
      const { code, stdout, stderr } = await user.run(['convert', 'in.csv', '--to', 'parquet'])
      assert.equal(code, 0, stderr)
      assert.match(stdout, /^✓ in\.csv → .*in\.parquet/)
      for (const name of ['api', 'token', 'pid']) assert.equal(await exists(name), false, name)
      assert.equal((await user.run(['status'])).code, 3)
    })

    it('from standard input to standard output', async () => {
      const { code, stdout, stderr } = await user.run(['convert', '-', '--from', 'csv', '--to', 'ndjson', '-o', '-'], { input: 'zip,name\n007,"a ""b"""\n' })
      assert.equal(code, 0, stderr)
      assert.equal(stdout, '{"zip":"007","name":"a \\"b\\""}\n')
    })

    it('a second command attaches to the node of the first, which waits for it', async () => {
      const input = join(user.folder, 'input.bin')
      await writeFile(input, Buffer.alloc(64))
      const sleep = (milliseconds: number, output: string): string[] => ['convert', input, '--from', 'bin', '--to', 'sleep', '--set', `milliseconds=${milliseconds}`, '--local', '-o', join(user.folder, output)]
      const first = user.start(sleep(1500, 'a.sleep'))
      while (!await exists('api')) await new Promise(resolve => setTimeout(resolve, 10))
      const second = await user.run(sleep(3000, 'b.sleep'))
      assert.equal(second.code, 0, second.stderr)
      const { code, stderr } = await first.ended
      assert.equal(code, 0)
      assert.match(stderr, /another command uses this embedded node/)
    })

    const wrong: Array<[string, string[], number, RegExp]> = [
      ['a missing input', ['gone.csv', '--to', 'parquet'], 1, /gone\.csv/],
      ['a folder for an input', ['home', '--to', 'parquet'], 2, /no file in this folder/],
      ['an unknown type', [CSV, '--to', 'paquet'], 2, /unknown type 'paquet'/],
      ['nobody else to do it', [CSV, '--to', 'parquet', '--remote'], 4, /nobody offers this conversion/],
      ['an output that cannot be written', [CSV, '--to', 'parquet', '-o', '/proc/nope/out.parquet'], 1, /nope/],
      ['a setting that does not exist', [CSV, '--to', 'parquet', '--set', 'headr=true'], 2, /headr/]
    ]
    for (const [what, args, exit, words] of wrong) {
      it(`${what}: exit ${exit}, one line, nothing written`, async () => {
        await mkdir(user.home)
        await chmod(user.home, 0o700)
        const { code, stderr, stdout } = await user.run(['convert', ...args])
        assert.equal(code, exit, stderr)
        assert.match(stderr, words)
        assert.match(stderr.split('\n').at(-2) ?? '', /^weft: /)
        assert.equal(stdout, '')
        assert.deepEqual(await readdir(user.folder), ['home'])
      })
    }
  })

  it('runs under any Node: the guard starts the pinned one, passes signals and exit codes on', async function () {
    const older = await oldNode()
    if (older == null) {
      console.error('    left out, no Node older than the pinned one is installed: that bin/weft re-spawns itself')
      this.skip()
    }
    const { stdout } = await user.start(['version', '--json'], { program: older }).ended
    assert.equal((JSON.parse(stdout) as { node: string }).node, process.versions.node)
    const daemon = user.start(['start'], { program: older })
    await said(daemon, /weft: ready/)
    daemon.child.kill('SIGINT')
    const { code, stderr } = await daemon.ended
    assert.equal(code, 0)
    assert.doesNotMatch(stderr, /once more/, 'one signal arrives once')
    const failing = user.start(['status'], { program: older })
    assert.equal((await failing.ended).code, 3)
    const orphan = user.start(['start'], { program: older })
    await said(orphan, /weft: ready/)
    const pid = Number(await readFile(join(user.home, 'pid'), 'utf8'))
    orphan.child.kill('SIGKILL')
    await orphan.ended
    while (isRunning(pid)) await new Promise(resolve => setTimeout(resolve, 20))
  })
})

/** A Node of the system that cannot run weft itself. */
async function oldNode (): Promise<string | undefined> {
  const { execFileSync } = await import('node:child_process')
  for (const folder of ['/usr/bin', '/usr/local/bin', '/opt/node/bin']) {
    try {
      const [major = 0] = execFileSync(join(folder, 'node'), ['--version'], { encoding: 'utf8' }).slice(1).split('.').map(Number)
      if (major >= 18 && major < 22) return join(folder, 'node')
    } catch {
      // Not there; the next one.
    }
  }
  return undefined
}
