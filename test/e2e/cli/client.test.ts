import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ApiError } from '../../../daemon/gateway/errors.ts'
import { createGateway } from '../../../daemon/gateway/gateway.ts'
import type { Capabilities, NodeView, PeerInfo, SpotPrices } from '../../../daemon/gateway/index.ts'
import type { JobReport, JobRequest } from '../../../daemon/coordinator/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { FakeNode, nodeView, PEER, report } from '../../unit/gateway/fake-node.ts'
import { said, User } from './fixture.ts'

const TOKEN = 'the-token'
const OTHER = '12D3KooWRdRzYVDPHuUWXeR38mEqC4bWgqqzRff5YjgNGGHLsqDZ'

/** Every job ends at once, as `ending` says. */
class QuickNode extends FakeNode {
  ending: (request: JobRequest) => Partial<JobReport> = request => ({ state: 'done', outputs: [{ path: request.output, mediaType: 'x', bytes: 3, cid: 'c' }] })
  override async submit (request: JobRequest): Promise<JobReport> {
    const begun = await super.submit(request)
    const ended = { ...begun, inputs: request.inputs.map(path => ({ path, mediaType: 'text/csv', bytes: 1 })), ...this.ending(request) }
    this.reports.set(begun.job, ended)
    return ended
  }

  override async cancel (id: string): Promise<JobReport | undefined> {
    const cancelled = await super.cancel(id)
    if (cancelled != null) {
      this.reports.set(id, cancelled)
      this.endings.get(id)?.resolve(cancelled)
    }
    return cancelled
  }
}

describe('command line, with a daemon that is made up', function () {
  this.timeout(60_000)
  let user: User
  let node: QuickNode
  let gateway: ReturnType<typeof createGateway>

  beforeEach(async () => {
    user = await User.make()
    node = new QuickNode()
    gateway = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port: 0, token: TOKEN, roots: [], uploads: join(user.folder, 'uploads') })
    await gateway.start()
    await mkdir(user.home, { mode: 0o700 })
    for (const [name, text] of [['api', gateway.url], ['token', TOKEN], ['pid', String(process.pid)]] as const) await writeFile(join(user.home, name), `${text}\n`, { mode: 0o600 })
    await writeFile(join(user.folder, 'in.csv'), 'a\n1\n')
  })

  afterEach(async () => {
    await gateway.stop()
    await user.remove()
  })

  const oneLine = (text: string): void => { assert.match(text, /^weft: [^\n]+\n$/) }

  it('convert hands every option on, with absolute paths', async () => {
    const { code, stdout } = await user.run(['convert', 'in.csv', '--to', 'parquet', '-o', 'out.parquet', '--from', 'csv', '--set', 'header=true', '--set', 'quote=\'=', '--verify', 'all', '--remote',
      '--nodes', 'p1, p2', '--block-size', '16MiB', '--deadline', '2m', '--overwrite', '--json'])
    assert.equal(code, 0)
    assert.deepEqual(node.submitted, [{
      inputs: [join(user.folder, 'in.csv')], output: join(user.folder, 'out.parquet'), to: 'parquet', from: 'csv', settings: { header: 'true', quote: '\'=' }, verify: 'all', place: 'remote',
      nodes: ['p1', 'p2'], blockBytes: 16777216, deadlineSeconds: 120, overwrite: true
    }])
    assert.equal((JSON.parse(stdout) as JobReport).state, 'done')
    assert.equal(stdout.trim().split('\n').length, 1)
  })

  it('convert without --json says what became of it on standard output', async () => {
    const { code, stdout, stderr } = await user.run(['convert', 'in.csv', '--to', 'parquet'])
    assert.equal(code, 0)
    assert.match(stdout, /^✓ in\.csv → .*in\.parquet/)
    assert.equal(stderr, '')
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout, /\u001b/, 'no colours where nobody looks')
  })

  for (const [code, exit] of [['check-failed', 5], ['no-provider', 4], ['deadline', 124], ['bad-input', 1], ['over-budget', 6]] as const) {
    it(`a job that fails with ${code} ends with ${exit}, in one line, and with --json in its report`, async () => {
      node.ending = () => ({ state: 'failed', error: { code, message: `the reason is ${code}`, details: { at: 1 } } })
      const plain = await user.run(['convert', 'in.csv', '--to', 'parquet'])
      assert.equal(plain.code, exit)
      assert.equal(plain.stderr, `weft: the reason is ${code}\n`)
      assert.equal(plain.stdout, '')
      const json = await user.run(['convert', 'in.csv', '--to', 'parquet', '--json'])
      assert.equal(json.code, exit)
      const { error, state } = JSON.parse(json.stdout) as JobReport
      assert.deepEqual(error, { code, message: `the reason is ${code}`, details: { at: 1 } })
      assert.equal(state, 'failed')
    })
  }

  it('a refused job is an error object of its own', async () => {
    node.submitError = new ApiError(409, 'output-exists', '/x exists')
    const { code, stdout } = await user.run(['convert', 'in.csv', '--to', 'parquet', '--json'])
    assert.equal(code, 1)
    assert.deepEqual(JSON.parse(stdout), { error: { code: 'output-exists', message: '/x exists', details: {} } })
  })

  it('of several outputs the good ones stand, each failure is in its own line, and the exit code is 1', async () => {
    await writeFile(join(user.folder, 'b.csv'), 'a\n1\n')
    node.ending = ({ inputs, output }) => inputs[0]?.endsWith('b.csv') === true
      ? { state: 'failed', error: { code: 'check-failed', message: 'wrong' } }
      : { state: 'done', outputs: [{ path: output, mediaType: 'x', bytes: 3, cid: 'c' }] }
    const { code, stdout } = await user.run(['convert', 'b.csv', 'in.csv', '--to', 'parquet', '-o', 'out/', '--json'])
    assert.equal(code, 1)
    const [first, second] = stdout.trim().split('\n').map(line => JSON.parse(line) as JobReport)
    assert.equal(first?.error?.code, 'check-failed')
    assert.equal(second?.state, 'done')
    assert.equal(second?.outputs[0]?.path, join(user.folder, 'out', 'in.parquet'))
  })

  it('standard input is uploaded and removed again, standard output gets the bytes and nothing else', async () => {
    node.ending = ({ output }) => ({ state: 'done', outputs: [{ path: output, mediaType: 'x', bytes: 5, cid: 'c' }] })
    const { submit } = node
    node.submit = async request => {
      await writeFile(request.output, 'bytes')
      return await submit.call(node, request)
    }
    const { code, stdout, stderr } = await user.run(['convert', '-', '--from', 'csv', '--to', 'ndjson', '-o', '-'], { input: 'a\n1\n' })
    assert.equal(code, 0, stderr)
    assert.equal(stdout, 'bytes')
    assert.match(stderr, /standard input → standard output/)
    assert.match(node.submitted[0]?.inputs[0] ?? '', /uploads/)
    assert.equal(gateway.server.hasRoute({ method: 'POST', url: '/uploads' }), true)
  })

  it('Ctrl-C cancels the job and ends with 130; a second one does not wait', async () => {
    node.ending = () => ({ state: 'running' })
    const first = user.start(['convert', 'in.csv', '--to', 'parquet'])
    while (node.submitted.length === 0 || node.endings.size === 0) await new Promise(resolve => setImmediate(resolve))
    first.child.kill('SIGINT')
    const { code, stderr } = await first.ended
    assert.equal(code, 130)
    assert.match(stderr, /interrupted; no output was written/)
    assert.deepEqual(node.cancelled, ['job1'])

    node.cancel = async id => { node.cancelled.push(id); return await new Promise(() => {}) }
    const second = user.start(['convert', 'in.csv', '--to', 'parquet'])
    while (!node.endings.has('job2')) await new Promise(resolve => setImmediate(resolve))
    second.child.kill('SIGINT')
    await said(second, /once more|again/)
    second.child.kill('SIGINT')
    assert.equal((await second.ended).code, 130)
  })

  it('--detach prints the job and leaves it', async () => {
    node.ending = () => ({ state: 'running' })
    const { code, stdout } = await user.run(['convert', 'in.csv', '--to', 'parquet', '--detach'])
    assert.equal(code, 0)
    assert.equal(stdout, 'job1\n')
    assert.deepEqual(node.cancelled, [])
  })

  it('jobs: list, show, watch, cancel', async () => {
    node.reports.set('bafyone', report('bafyone', { state: 'done' }))
    node.reports.set('bafytwo', report('bafytwo', { state: 'failed', error: { code: 'check-failed', message: 'wrong result' } }))
    assert.match((await user.run(['jobs'])).stdout, /bafyone +done +1\/4[^]*bafytwo +failed/)
    assert.match((await user.run(['jobs', 'show', 'two'])).stdout, /check-failed: wrong result/)
    const watched = await user.run(['jobs', 'watch', 'bafytwo'])
    assert.equal(watched.code, 5)
    assert.equal(watched.stderr, 'weft: wrong result\n')
    const unknown = await user.run(['jobs', 'show', 'nope', '--json'])
    assert.equal(unknown.code, 1)
    assert.equal((JSON.parse(unknown.stdout) as { error: { code: string } }).error.code, 'unknown-job')
    node.reports.set('bafyrun', report('bafyrun'))
    assert.equal((await user.run(['jobs', 'cancel', 'bafyrun'])).code, 0)
    assert.deepEqual(node.cancelled, ['bafyrun'])
    assert.equal((await user.run(['jobs', 'cancel', 'bafyone'])).code, 1, 'it is done already')
  })

  it('status, converters', async () => {
    assert.match((await user.run(['status'])).stdout, /state +ready[^]*network +testnet-unit/)
    const status = JSON.parse((await user.run(['status', '--json'])).stdout) as Record<string, unknown>
    for (const key of ['peerId', 'network', 'multiaddrs', 'api', 'state', 'peers']) assert.ok(key in status, key)
    assert.match((await user.run(['converters'])).stdout, /table\/csv-parquet +1 +csv +parquet +content-exact/)
  })

  it('nodes takes every filter as an option, and says what is wrong with one as the option it was', async () => {
    const PARQUET = 'application/vnd.apache.parquet'
    const filters = ['--to', PARQUET, '--from', 'text/csv', '--converter', 'table/csv-parquet', '--resource-type', 'cpu', '--max-price', '0.25', '--unit', 'credit', '--latency-band', 'metro', '--min-memory-gb', '1', '--gpu-hours', '0', '--sort', 'price', '--limit', '1']
    node.view.nodes = [nodeView(PEER, { self: true, latencyBand: 'lan' }), nodeView(OTHER, { price: '250000', rttMs: 4, latencyBand: 'metro' }), nodeView('12D3KooWdear', { price: '250001', latencyBand: 'lan' })]
    const { stdout, stderr, code } = await user.run(['nodes', ...filters])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^PEER +STATE[^\n]+SPEED[^\n]+\n…Xb3pVb7H +this node [^\n]+\n$/)
    const cursor = /^1 of 2 shown; the next: --cursor (\S+)\n$/.exec(stderr)?.[1] as string
    const { nodes } = JSON.parse((await user.run(['nodes', ...filters, '--cursor', cursor, '--json'])).stdout) as { nodes: NodeView[] }
    assert.deepEqual(nodes.map(({ peer }) => peer), [OTHER])
    const filter = { to: PARQUET, from: 'text/csv', converter: 'table/csv-parquet', resource_type: 'cpu', max_price: '250000', unit: 'credit', latency_band: 'metro', min_memory_gb: 1, gpu_hours: 0, sort: 'price', limit: 1 }
    assert.deepEqual(node.filters, [filter, { ...filter, cursor }])

    const none = await user.run(['nodes', '--resource-type', 'GPU_A'])
    assert.deepEqual([none.code, none.stdout, none.stderr], [0, '', 'no node matches, of 3 nodes known\n'])
    for (const [option, value, words] of [['--limit', 'many', /^weft: --limit: expected a whole number\n$/], ['--max-price', 'cheap', /^weft: --max-price: expected a whole number of 10\^-6 units[^\n]*0\.25[^\n]*\n$/]] as const) {
      const wrong = await user.run(['nodes', option, value])
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, words)
      oneLine(wrong.stderr)
    }
  })

  it('prices and capabilities of the network', async () => {
    assert.deepEqual(await user.run(['prices']), { code: 0, signal: null, stdout: '', stderr: 'nobody offers anything now\n' })
    node.view.nodes = [nodeView(PEER, { self: true, price: '250000' }), nodeView(OTHER, { price: '750000' })]
    const prices = await user.run(['prices'])
    assert.match(prices.stdout, /^RESOURCE +NODES +LEAST\/H +MEDIAN\/H +MOST\/H\nCPU +2 +0\.25 credit +0\.25 credit +0\.75 credit\n\n1 converter at the same prices; how fast, nobody has measured yet\n$/)
    assert.equal(prices.stderr, '2 nodes known, 2 connected; prices of others: 0 s old in the middle, 0 s at most\n')
    assert.deepEqual((JSON.parse((await user.run(['prices', '--json'])).stdout) as SpotPrices).p2p_market, { CPU: 0.25 })
    assert.match((await user.run(['capabilities'])).stdout, /^CPU: 2 nodes, 8 cores, 8 slots, 16 GB memory; median price 0\.25 credit\/hr\nCONVERTER[^]*table\/csv-parquet +2 +0 +- +- +- +-\n$/)
    assert.equal((JSON.parse((await user.run(['capabilities', '--json'])).stdout) as Capabilities).resource_profiles.CPU?.nodes, 2)
  })

  it('prices set tells the daemon and writes the file; what is no price changes neither', async () => {
    const file = join(user.home, 'config.json')
    const { code, stdout, stderr } = await user.run(['prices', 'set', '0.25', '--unit', 'euro'])
    assert.equal(code, 0, stderr)
    assert.equal(stdout, '')
    assert.equal(stderr, `weft: this node asks 0.25 euro (250000 µeuro) per resource hour, from now on; written to ${file}\n`)
    assert.deepEqual(node.posted, { price: '250000', unit: 'euro' })
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { prices: { perHour: '250000', unit: 'euro' } })
    assert.deepEqual(JSON.parse((await user.run(['prices', 'set', '5', '--json'])).stdout), { price: '5', unit: 'euro', running: true, file })
    for (const [args, words] of [[['cheap'], /'cheap' is no amount: write a whole number of 10\^-6 units/], [['1', '--unit', '?'], /prices\.unit/]] as const) {
      const wrong = await user.run(['prices', 'set', ...args])
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, words)
      oneLine(wrong.stderr)
    }
    node.setPrice = async () => { throw new ApiError(503, 'interrupted', 'the node is stopping') }
    const untold = await user.run(['prices', 'set', '7'])
    assert.equal(untold.code, 3)
    assert.match(untold.stderr, /^weft: the price was written to [^\n]*config\.json, but the running daemon did not take it: the node is stopping\n$/)
    assert.deepEqual(node.posted, { price: '5', unit: 'euro' })
  })

  it('peers: list, connect, ban, bans, unban', async () => {
    node.view.nodes = [nodeView(PEER, { self: true }), nodeView(OTHER)]
    assert.deepEqual(await user.run(['peers']), { code: 0, signal: null, stdout: '', stderr: 'no peer is connected: see weft invite, weft join and weft doctor\n' })
    assert.match((await user.run(['peers', 'connect', OTHER])).stderr, new RegExp(`^weft: connected to ${OTHER} at /ip4/127`))
    assert.match((await user.run(['peers', 'list'])).stdout, /^PEER[^\n]+\n…GGHLsqDZ +…XLt9DoHd +0\.4 ms [^\n]+ \/ip4\/127\.0\.0\.1\/tcp\/4001\n$/)
    assert.match((await user.run(['peers', 'list', '--long'])).stdout, new RegExp(`^${OTHER} `, 'm'))
    assert.deepEqual((JSON.parse((await user.run(['peers', '--json'])).stdout) as { peers: PeerInfo[] }).peers.map(({ peer }) => peer), [OTHER])

    const away = await user.run(['peers', 'connect', `/ip4/127.0.0.1/tcp/1/p2p/${OTHER.slice(0, -1)}E`])
    assert.equal(away.code, 1)
    assert.match(away.stderr, /^weft: cannot connect to \/ip4\/[^\n]*: connection refused\n$/)
    const nowhere = await user.run(['peers', 'connect', 'localhost'])
    assert.equal(nowhere.code, 2)
    assert.match(nowhere.stderr, /^weft: address: expected a multiaddr like /)

    assert.match((await user.run(['peers', 'ban', '…GGHLsqDZ', '--reason', 'wrong results'])).stderr, new RegExp(`^weft: ${OTHER} is banned; weft peers unban lets it in again\n$`))
    assert.deepEqual(node.banned, [{ subject: OTHER, reason: 'wrong results', since: 5 }])
    assert.match((await user.run(['peers', 'bans'])).stdout, new RegExp(`${OTHER} .* wrong results\n$`))
    assert.equal((await user.run(['peers', 'unban', 'GGHLsqDZ'])).code, 0)
    assert.deepEqual(node.banned, [])
    for (const [args, words] of [[['unban', 'GGHLsqDZ'], /is nobody that is banned: see weft peers bans/], [['ban', OTHER, '--reason', 'x'.repeat(300)], /--reason: /]] as const) {
      const wrong = await user.run(['peers', ...args])
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, words)
      oneLine(wrong.stderr)
    }
  })

  it('a wrong token is exit 3', async () => {
    await writeFile(join(user.home, 'token'), 'another')
    const { code, stderr } = await user.run(['status'])
    assert.equal(code, 3)
    oneLine(stderr)
    assert.match(stderr, /token/)
  })

  it('files of a daemon that is gone are not believed: its port may be somebody else\'s, who must not see the token', async () => {
    let called = 0
    const stranger = createServer((_request, response) => { called++; response.end('{}') }).listen(0, '127.0.0.1')
    await new Promise(resolve => stranger.once('listening', resolve))
    await writeFile(join(user.home, 'api'), `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`)
    // No process has this id: it is above the largest that Linux gives out.
    await writeFile(join(user.home, 'pid'), '4194305')
    const { code, stderr } = await user.run(['status'])
    stranger.close()
    assert.equal(code, 3)
    assert.match(stderr, /no daemon is running for .*: start one with 'weft start'/)
    assert.equal(called, 0)
  })

  it('a daemon that goes away in the middle is exit 3', async () => {
    node.ending = () => ({ state: 'running' })
    const { child, ended } = user.start(['convert', 'in.csv', '--to', 'parquet'])
    while (node.endings.size === 0) await new Promise(resolve => setImmediate(resolve))
    gateway.server.server.closeAllConnections()
    await gateway.stop()
    const { code, stderr } = await ended
    assert.equal(code, 3, stderr)
    oneLine(stderr)
    assert.equal(child.killed, false)
  })
})
