import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { pEvent } from 'p-event'
import { silentLog } from '../../../daemon/log.ts'
import { createNetwork } from '../../../daemon/network/index.ts'
import { loadOrCreateIdentity } from '../../../daemon/trust/index.ts'
import { eventually, startNode } from '../registry/node.ts'

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await pEvent(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await pEvent(server, 'close')
  return port
}

const identity = async (): ReturnType<typeof loadOrCreateIdentity> => await loadOrCreateIdentity({ readFile: async () => undefined, writeSecret: async () => {} }, { network: 'test' })

describe('integration: joining', () => {
  it('joins when its bootstrap node comes up later, and again after that was restarted', async () => {
    const address = `/ip4/127.0.0.1/tcp/${await freePort()}`
    await using member = await startNode({ bootstrap: [address] })
    assert.deepEqual(member.network.peers(), [])
    await using first = await startNode({ listen: [address] })
    await eventually('joined', member.network.events, ['peer'], () => member.network.peers()[0])
    const gone = eventually('lost', member.network.events, ['gone'], () => member.network.peers().length === 0)
    await first.stop()
    await gone
    await using second = await startNode({ listen: [address] })
    const greeted = await eventually('joined again', member.network.events, ['peer'], () => member.network.peers()[0])
    assert.ok(greeted.peer.equals(second.identity.peerId))
  })

  it('says that nobody is to be expected without bootstrap and peers', async () => {
    await using alone = await startNode()
    assert.equal(await alone.network.joined({ signal: AbortSignal.timeout(5000) }), false)
    await using waiting = await startNode({ bootstrap: ['/ip4/127.0.0.1/tcp/9'] })
    assert.equal(await waiting.network.joined({ signal: AbortSignal.timeout(50) }), false)
  })

  it('leaves itself out of the bootstrap list', async () => {
    await using alone = await startNode({ listen: ['/memory/self'], bootstrap: [] })
    await using again = await alone.restart({ listen: ['/memory/self'], bootstrap: [`/memory/self/p2p/${alone.identity.peerId.toString()}`] })
    assert.equal(await again.network.joined({ signal: AbortSignal.timeout(5000) }), false)
  })

  it('refuses a configuration that cannot work, and says what to do', async () => {
    const config = { name: 'test', listen: [], bootstrap: [], dhtMode: 'server' as const }
    const make = async (fields: object): Promise<unknown> => await createNetwork({ identity: await identity(), config: { ...config, ...fields }, log: silentLog })
    await assert.rejects(make({ name: 'a b' }), { name: 'NetworkConfigError', code: 'name' })
    await assert.rejects(make({ name: 'x'.repeat(65) }), { code: 'name' })
    await assert.rejects(make({ listen: ['127.0.0.1:4001'] }), { code: 'address', message: /\/ip4\/192\.0\.2\.1\/tcp\/4001/ })
    await assert.rejects(make({ bootstrap: ['nowhere'] }), { code: 'bootstrap' })
    await assert.rejects(make({ bootstrap: new Array(65).fill('/ip4/127.0.0.1/tcp/1') }), { code: 'bootstrap' })
  })

  it('says when its port is taken, and can be stopped and started again', async () => {
    await using a = await startNode()
    const taken = a.address.replace(/\/p2p\/.*/, '')
    const b = await createNetwork({ identity: await identity(), config: { name: 'test', listen: [taken], bootstrap: [], dhtMode: 'server' }, log: silentLog })
    await assert.rejects(b.start(), { name: 'NetworkConfigError', code: 'listen' })
    await b.stop()
    await a.network.stop()
    await b.start()
    assert.equal(b.libp2p.getMultiaddrs().length, 1)
    await b.stop()
  })

  it('leaves nothing behind that keeps the process alive', async () => {
    const script = `
      import { content, startNode } from ${JSON.stringify(new URL('../registry/node.ts', import.meta.url).href)}
      const a = await startNode()
      const b = await startNode({ bootstrap: [a.address, '/ip4/127.0.0.1/tcp/9'] })
      await b.registry.publish(content())
      for await (const found of a.registry.find({ from: 'text/csv', to: 'application/vnd.apache.parquet' }, { signal: AbortSignal.timeout(5000) })) void found
      await b[Symbol.asyncDispose]()
      await a[Symbol.asyncDispose]()
      console.log('stopped')
    `
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    let stopped = false
    child.stdout.on('data', () => { stopped = true })
    const [code] = await pEvent(child, 'exit', { multiArgs: true, timeout: 15_000 }) as unknown as [number]
    assert.equal(code, 0)
    assert.ok(stopped)
  })
})
