import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Surroundings } from '../../../daemon/block-convert/probe/fault.ts'
import { requires } from '../../fixtures/requires.ts'
import { bench, run, withTestConverters, type Bench, type Sandbox } from './setup.ts'

/** What an engine sees, as it tells itself. */
function lookingAround (sandbox: Sandbox, check: (look: (marker?: string) => Promise<Surroundings>, port: () => number, b: () => Bench) => void): void {
  let b: Bench | undefined
  let server: Server
  let secret: string | undefined
  withTestConverters()
  before(async () => {
    secret = process.env['WEFT_SECRET_FOR_TEST']
    process.env['WEFT_SECRET_FOR_TEST'] = 'of the daemon'
    b = await bench({ slots: 2, sandbox })
    server = createServer(socket => { socket.destroy() }).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
  })
  after(async () => {
    if (secret == null) delete process.env['WEFT_SECRET_FOR_TEST']
    // Not there when the tests are left out.
    if (b == null) return
    await new Promise(resolve => server.close(resolve))
    await b.close()
  })
  check(async marker => {
    const { outcome, bytes } = await run((b as Bench).executor, { parameters: { mode: 'look-around', ...(marker == null ? {} : { marker }) } })
    assert.ok(outcome.ok, JSON.stringify(outcome))
    return JSON.parse(String(bytes)) as Surroundings
  }, () => (server.address() as AddressInfo).port, () => b as Bench)
}

/** The soft limit of a resource as /proc/self/limits prints it. */
function limitOf (limits: string, name: string): string | undefined {
  return limits.split('\n').find(line => line.startsWith(name))?.slice(name.length).trim().split(/\s+/)[0]
}

function limitsHold (limits: string): void {
  assert.equal(limitOf(limits, 'Max core file size'), '0')
  assert.equal(limitOf(limits, 'Max open files'), '1024')
  assert.equal(limitOf(limits, 'Max file size'), String(8 * 2 ** 30))
  assert.ok(Number(limitOf(limits, 'Max data size')) < 4 * 2 ** 30)
}

const ENVIRONMENT = ['HOME', 'LANG', 'LC_ALL', 'PATH', 'TMPDIR', 'TZ', 'WEFT_TEST_CONVERTERS']

describe('what an engine sees in bwrap', () => {
  requires('bwrap', 'that an engine has no network and sees no files but its own')
  lookingAround('require', (look, port, b) => {
    it('has no network', async () => {
      assert.notEqual((await look(`port:${port()}`)).network, 'connected')
    })

    it('reads nothing of the machine but programs, libraries and this program\'s code', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'weft-secret-'))
      await writeFile(join(folder, 'secret'), 'x')
      for (const path of [join(folder, 'secret'), '/etc/passwd', '/etc/hostname', `${homedir()}/.profile`, join(dirname(b().scratch), '.'), b().scratch]) {
        assert.notEqual((await look(path)).file, 'read', path)
      }
      await rm(folder, { recursive: true })
      assert.equal((await look(join(import.meta.dirname, '../../../daemon/executor/child.ts'))).file, 'read')
      const { root } = await look()
      assert.ok(!root.includes('home') && !root.includes('root') && !root.includes('var'), root.join())
    })

    it('does not see the block of another engine', async () => {
      const workspace = await b().executor.workspace()
      await writeFile(join(workspace.path, 'block'), 'x')
      assert.notEqual((await look(join(workspace.path, 'block'))).file, 'read')
      await workspace.dispose()
    })

    it('writes to its own folder only', async () => {
      assert.deepEqual((await look()).writable, ['/block'])
    })

    it('has an environment of its own', async () => {
      const { env } = await look()
      assert.deepEqual(env.filter(name => name !== 'PWD' && name !== 'NODE_COMPILE_CACHE'), ENVIRONMENT)
    })

    it('sees no process of the machine', async () => {
      const { pid } = await look()
      assert.ok(pid < 10, `${pid}`)
      assert.notEqual((await look(`/proc/${process.pid}/environ`)).file, 'read')
    })

    it('is under rlimits', async () => { limitsHold((await look()).limits) })
  })
})

describe('what an engine sees without a sandbox', () => {
  lookingAround('off', look => {
    it('has an environment of its own', async () => { assert.deepEqual((await look()).env.filter(name => name !== 'NODE_COMPILE_CACHE'), ENVIRONMENT) })
    it('is under rlimits', async () => { limitsHold((await look()).limits) })
  })
})
