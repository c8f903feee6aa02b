import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRunning } from '../../../cli/lib/process.ts'
import type { Link, TestNode, TestnetState } from '../../../cli/testnet/state.ts'
import type { NodeView } from '../../../daemon/gateway/index.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'
import { compareTables } from '../../../scripts/compare.ts'
import { root, said, User, type Running } from './fixture.ts'

const CSV = join(root, 'node_modules', 'vega-datasets', 'data', 'airports.csv')
const script = join(root, 'scripts', 'testnet')

describe('scripts/testnet', function () {
  this.timeout(120_000)
  let user: User
  let dir: string
  let network: Running | undefined

  beforeEach(async () => {
    user = await User.make()
    dir = join(user.folder, 'net')
  })

  afterEach(async () => {
    if (network != null && network.child.exitCode == null && network.child.signalCode == null) {
      network.child.kill('SIGINT')
      await network.ended
    }
    // After a failure in between: whatever is still there by its own record.
    await user.start(['down', '--dir', dir], { script }).ended
    await user.remove()
  })

  const up = async (...args: string[]): Promise<TestnetState> => {
    network = user.start(['up', '--dir', dir, '--json', ...args], { script })
    await said(network, /daemons are up/)
    return await state()
  }
  const state = async (): Promise<TestnetState> => JSON.parse(await readFile(join(dir, 'testnet.json'), 'utf8')) as TestnetState
  const verb = async (...args: string[]) => await user.start([...args, '--dir', dir], { script }).ended
  const as = async (node: TestNode, args: string[]) => await user.run(args, { env: { WEFT_HOME: node.dataDir } })

  it('up, kill, start, pause, stop, down', async () => {
    const { nodes, network: name } = await up('--nodes', '3', '--seed', 'lifecycle')
    assert.equal(name, 'testnet-lifecycle')
    assert.deepEqual(nodes.map(node => node.name), ['n0', 'n1', 'n2'])
    for (const node of nodes) {
      for (const key of ['name', 'peerId', 'multiaddrs', 'api', 'tokenFile', 'pid', 'dataDir', 'log'] as const) assert.ok(node[key] != null, key)
      assert.equal((await readFile(node.tokenFile, 'utf8')).trim().length, 64)
      await stat(node.log)
      const seen = (JSON.parse((await as(node, ['nodes', '--json'])).stdout) as { nodes: NodeView[] }).nodes.map(({ peer }) => peer)
      assert.deepEqual(seen.toSorted(), nodes.map(({ peerId }) => peerId).toSorted())
    }
    const [n0, n1, n2] = nodes as [TestNode, TestNode, TestNode]

    assert.equal((await verb('kill', 'n2')).code, 0)
    assert.equal(isRunning(n2.pid), false)
    assert.equal((await state()).nodes[2]?.state, 'killed')
    const twice = await verb('kill', 'n2')
    assert.equal(twice.code, 1)
    assert.match(twice.stderr, /^weft: n2 does not run[^\n]*testnet start n2[^\n]*\n$/)

    assert.equal((await verb('start', 'n2')).code, 0)
    const again = (await state()).nodes[2] as TestNode
    assert.notEqual(again.pid, n2.pid)
    assert.deepEqual([again.peerId, again.multiaddrs, again.api, again.state], [n2.peerId, n2.multiaddrs, n2.api, 'running'])
    const view = (JSON.parse((await as(n0, ['nodes', '--json'])).stdout) as { nodes: NodeView[] }).nodes
    assert.equal(view.find(({ peer }) => peer === n2.peerId)?.connected, true)

    assert.equal((await verb('pause', 'n1')).code, 0)
    assert.match(await readFile(`/proc/${n1.pid}/stat`, 'utf8'), /\) T /)
    assert.equal((await verb('unpause', 'n1')).code, 0)
    assert.equal((await verb('stop', 'n1')).code, 0)
    assert.equal(isRunning(n1.pid), false)
    assert.match((await verb('status')).stdout, /n0 +running[^]*n1 +stopped[^]*n2 +running/)
    assert.equal((await verb('kill', 'n9')).code, 2)

    // Somebody else's end is noticed, and is no reason to stop.
    process.kill(again.pid, 'SIGKILL')
    await said(network as Running, /n2 \(process \d+\) has ended by itself/)
    assert.match((await verb('status')).stdout, /n2 +crashed/)

    assert.equal((await verb('down')).code, 0)
    assert.equal((await network?.ended)?.code, 0)
    for (const { pid } of [n0, n1, again]) assert.equal(isRunning(pid), false)
    assert.ok(!(await readdir(dir)).includes('testnet.json'))
  })

  it('links: what is set is told and obeyed, also by a node that is started again, until it is healed', async () => {
    const { nodes } = await up('--nodes', '3', '--seed', 'links')
    const [n0, n1, n2] = nodes as [TestNode, TestNode, TestNode]
    const links = async (...args: string[]): Promise<Link[]> => {
      const { code, stdout, stderr } = await verb(...args, '--json')
      assert.equal(code, 0, stderr)
      return (JSON.parse(stdout) as { links: Link[] }).links
    }
    assert.deepEqual(await links('latency', 'n0', 'n1', '80ms', '--jitter', '20ms'), [{ from: 'n0', to: 'n1', delayMs: 80, jitterMs: 20 }, { from: 'n1', to: 'n0', delayMs: 80, jitterMs: 20 }])
    assert.deepEqual((await links('bandwidth', 'n0', 'n2', '10mbit')).at(-1), { from: 'n2', to: 'n0', bytesPerSecond: 1_250_000 })
    assert.equal((await links('loss', 'n0', 'n1,n2', '5%')).filter(({ loss }) => loss === 0.05).length, 4)
    assert.match((await verb('status')).stdout, /n0 to n1: 80 ms late, more or less 20 ms, 5 % of packets lost\n/)
    assert.deepEqual(await links('heal', 'n0', 'n1'), [{ from: 'n0', to: 'n2', bytesPerSecond: 1_250_000, loss: 0.05 }, { from: 'n2', to: 'n0', bytesPerSecond: 1_250_000, loss: 0.05 }])
    assert.deepEqual(await links('heal'), [])
    assert.deepEqual(await links('partition', 'n1,n0', 'n2', '--one-way'), [{ from: 'n1', to: 'n2', blocked: true }, { from: 'n0', to: 'n2', blocked: true }])
    assert.deepEqual(await links('heal'), [])

    // A round trip over the delay: the answer to a dial back, asked for over a connection that is there.
    await links('latency', 'n0', 'n1,n2', '150ms')
    const began = performance.now()
    assert.equal((await as(n0, ['doctor'])).code, 0)
    assert.ok(performance.now() - began >= 300)
    await links('heal')

    // One that starts in a partition is cut off from its first packet on; whoever dials it hangs until he gives up.
    assert.equal((await verb('kill', 'n2')).code, 0)
    assert.equal((await links('partition', 'n2')).length, 4)
    assert.equal((await verb('start', 'n2')).code, 0)
    const cut = await as(n0, ['peers', 'connect', n2.multiaddrs[0] as string])
    assert.equal(cut.code, 1, cut.stdout)
    assert.deepEqual(await links('heal'), [])
    const healed = await as(n0, ['peers', 'connect', n2.multiaddrs[0] as string])
    assert.equal(healed.code, 0, healed.stderr)

    for (const [args, words] of [[['partition', 'n9'], /no node 'n9'/], [['partition', 'n1', 'n1'], /n1 is named twice/], [['partition', 'n0,n1,n2'], /are all nodes of this network/], [['latency', 'n0', 'n1', '80'], /'80' is not a time/], [['loss', 'n0', 'n1', '0.5'], /'0.5' is not a share/], [['bandwidth', 'n0', 'n1', '10'], /'10' is not a rate/]] as Array<[string[], RegExp]>) {
      const { code, stderr } = await verb(...args)
      assert.equal(code, 2, stderr)
      assert.match(stderr, words)
      assert.equal(stderr.trim().split('\n').length, 1)
    }
    assert.equal(isRunning(n1.pid), true)
  })

  it('a node that is to crash again and again is started again', async () => {
    const profile = join(user.folder, 'profile.json')
    await writeFile(profile, JSON.stringify({ nodes: [{}, { faults: ['crash-loop:1s'] }] }))
    const { nodes } = await up('--profile', profile)
    for (let before = nodes[1]?.pid, times = 0; times < 2; times++) {
      let node = (await state()).nodes[1]
      while (node?.pid === before) {
        await new Promise(resolve => setTimeout(resolve, 50))
        node = (await state()).nodes[1]
      }
      assert.equal(node?.peerId, nodes[1]?.peerId)
      before = node?.pid
    }
    assert.equal(isRunning(nodes[0]?.pid ?? 0), true)
  })

  it('the same seed gives the same peers; a network that runs is left alone; Ctrl-C ends every daemon', async () => {
    const first = await up('--nodes', '2', '--seed', '42')
    const other = await verb('up', '--nodes', '2')
    assert.equal(other.code, 1)
    assert.match(other.stderr, /a test network runs in .* already/)
    for (const { pid } of first.nodes) assert.equal(isRunning(pid), true)
    network?.child.kill('SIGINT')
    assert.equal((await network?.ended)?.code, 0)
    for (const { pid } of first.nodes) assert.equal(isRunning(pid), false)
    const second = await up('--nodes', '2', '--seed', '42')
    assert.deepEqual(second.nodes.map(({ peerId }) => peerId), first.nodes.map(({ peerId }) => peerId))
  })

  it('a run whose foreground was killed is recognised, and cleaned up by the next', async () => {
    const { nodes, supervisor } = await up('--nodes', '2')
    process.kill(supervisor?.pid ?? 0, 'SIGKILL')
    await network?.ended
    assert.equal(nodes.every(({ pid }) => isRunning(pid)), true)
    const status = await verb('status')
    assert.equal(status.code, 1)
    assert.match(status.stderr, /is gone: clean up/)
    const next = await up('--nodes', '1')
    for (const { pid } of nodes) assert.equal(isRunning(pid), false)
    assert.equal(next.nodes.length, 1)
  })

  it('Ctrl-C while it comes up leaves no daemon', async () => {
    network = user.start(['--nodes', '3', '--dir', dir], { script })
    await said(network, /starting 3 daemons/)
    while (!(await readdir(join(dir, 'n0')).catch((): string[] => [])).includes('pid')) await new Promise(resolve => setTimeout(resolve, 10))
    const pid = Number(await readFile(join(dir, 'n0', 'pid'), 'utf8'))
    network.child.kill('SIGINT')
    const { code, stderr } = await network.ended
    assert.equal(code, 130)
    assert.match(stderr, /interrupted; every daemon was ended/)
    assert.equal(isRunning(pid), false)
  })

  it('a profile: prices are heard of, bans hold, a liar is found out and not used, a node without converters does no work', async () => {
    const profile = join(user.folder, 'profile.json')
    await writeFile(profile, JSON.stringify({ nodes: [{}, { faults: ['wrong'] }, { cores: 1, price: '5' }, { converters: ['probe/*'] }] }))
    const { nodes } = await up('--profile', profile)
    const [n0, liar, honest, idle] = nodes as [TestNode, TestNode, TestNode, TestNode]
    const seen = (JSON.parse((await as(n0, ['nodes', '--json'])).stdout) as { nodes: NodeView[] }).nodes
    const viewOf = (node: TestNode): NodeView => seen.find(({ peer }) => peer === node.peerId) as NodeView
    assert.equal(viewOf(honest).resources.slots, 1)
    assert.equal(viewOf(honest).price, '5')
    assert.equal(viewOf(idle).converters.every(({ id }) => id.startsWith('probe/')), true)

    // A changed price is heard of by others while both run, and kept.
    assert.equal((await as(honest, ['prices', 'set', '0.25'])).code, 0)
    const heard = async (): Promise<NodeView | undefined> => (JSON.parse((await as(n0, ['nodes', '--max-price', '0.25', '--sort', 'price_desc', '--limit', '1', '--json'])).stdout) as { nodes: NodeView[] }).nodes[0]
    let dearest = await heard()
    while (dearest?.price !== '250000') dearest = await heard()
    assert.equal(dearest.peer, honest.peerId)
    assert.ok(['gossip', 'direct'].includes(dearest.facts.price.source))
    assert.equal((JSON.parse(await readFile(join(honest.dataDir, 'config.json'), 'utf8')) as { prices: { perHour: string } }).prices.perHour, '250000')
    assert.match((await as(n0, ['prices'])).stdout, /^RESOURCE[^\n]+\nCPU +4 +free +free +0\.25 credit\n/)

    // Who is banned is gone at once, and stays away.
    const connected = async (): Promise<string[]> => (JSON.parse((await as(n0, ['peers', '--json'])).stdout) as { peers: Array<{ peer: string }> }).peers.map(({ peer }) => peer)
    assert.equal((await as(n0, ['peers', 'ban', idle.peerId.slice(-8), '--reason', 'does no work'])).code, 0)
    assert.deepEqual((await connected()).toSorted(), [honest.peerId, liar.peerId].toSorted())
    const refused = await as(n0, ['peers', 'connect', idle.multiaddrs[0] as string])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /^weft: cannot connect to [^\n]+banned[^\n]*\n$/)
    assert.equal((await as(n0, ['peers', 'unban', idle.peerId])).code, 0)
    assert.equal((await as(n0, ['peers', 'connect', idle.multiaddrs[0] as string])).code, 0)
    assert.equal((await connected()).length, 3)

    const output = join(user.folder, 'out.ndjson')
    const { code, stdout, stderr } = await as(n0, ['convert', CSV, '--to', 'ndjson', '-o', output, '--remote', '--verify', 'all', '--block-size', '10kB', '--json'])
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout) as JobReport
    assert.ok(report.blocks.rejected > 0)
    assert.deepEqual(report.workers.filter(({ blocks }) => blocks > 0).map(({ peer }) => peer), [honest.peerId])
    assert.ok(report.workers.some(({ peer, blocks }) => peer === liar.peerId && blocks === 0))
    assert.equal((await compareTables(CSV, output)).difference, undefined)
  })
})
