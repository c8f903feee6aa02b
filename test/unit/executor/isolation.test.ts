import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IsolationError } from '../../../daemon/executor/errors.ts'
import { createExecutor } from '../../../daemon/executor/index.ts'
import { findProgram, launch } from '../../../daemon/executor/isolation.ts'

const limits = { memoryBytes: 1 << 30, outputBytes: 1 << 20 }

describe('isolation', () => {
  it('always sets rlimits: by prlimit, by a shell where there is none', () => {
    const { file, args } = launch({ prlimit: '/usr/bin/prlimit' }, limits, '/x', ['a'])
    assert.equal(file, '/usr/bin/prlimit')
    assert.ok(args.includes('--core=0') && args.includes('--fsize=1048576') && args.includes(`--data=${2 ** 31}`))
    const fallback = launch({}, limits, '/x', ['a'])
    assert.equal(fallback.file, '/bin/sh')
    assert.match(fallback.args[1] ?? '', /ulimit -c 0; ulimit -f 2048; ulimit -d 2097152; /)
    assert.deepEqual(fallback.args.slice(2, 4), ['sh', process.execPath])
  })

  it('asks the kernel to end an engine with its daemon where bwrap does not', () => {
    assert.deepEqual(launch({ setpriv: '/s' }, limits, '/x', []).args.slice(0, 3), ['--pdeathsig', 'KILL', '--'])
    assert.ok(launch({ setpriv: '/s', bwrap: '/b' }, limits, '/x', []).args.includes('--die-with-parent'))
    assert.ok(!launch({ setpriv: '/s', bwrap: '/b' }, limits, '/x', []).args.includes('--pdeathsig'))
  })

  it('shares no namespace and writes to one folder in bwrap', () => {
    const { args, folder } = launch({ prlimit: '/p', bwrap: '/b' }, limits, '/own/folder', ['a'])
    assert.equal(folder, '/block')
    assert.ok(args.includes('--unshare-all') && !args.includes('--share-net'))
    const bound = args.flatMap((arg, i) => arg === '--bind' ? [[args[i + 1], args[i + 2]]] : [])
    assert.deepEqual(bound, [['/own/folder', '/block']])
    assert.deepEqual(args.slice(-4), ['--', process.execPath, '--max-old-space-size=768', 'a'])
  })

  it('finds programs by absolute path only', () => {
    assert.equal(findProgram('sh')?.startsWith('/'), true)
    assert.equal(findProgram('no-such-program-anywhere'), undefined)
  })

  describe('with programs that do not work', () => {
    const path = process.env['PATH']
    let folder: string
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'weft-programs-'))
      await writeFile(join(folder, 'bwrap'), '#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n')
      await writeFile(join(folder, 'prlimit'), '#!/bin/sh\nexit 1\n')
      for (const name of ['bwrap', 'prlimit']) await chmod(join(folder, name), 0o700)
      process.env['PATH'] = `${folder}:${path}`
    })
    after(async () => {
      process.env['PATH'] = path
      await rm(folder, { recursive: true })
    })

    it('goes without them, says so, and still runs', async () => {
      const executor = createExecutor({ scratch: folder }, { slots: 1, sandbox: 'auto' })
      await executor.start()
      assert.deepEqual(executor.isolation, { bwrap: false, rlimits: false })
      const workspace = await executor.workspace()
      const outcome = await executor.run({ converter: 'probe/copy', version: '1', parameters: {}, input: { bytes: Buffer.from('x') }, workspace })
      assert.ok(outcome.ok, JSON.stringify(outcome))
      await executor.stop()
    })

    it('refuses to start where they are required, with the reason', async () => {
      const executor = createExecutor({ scratch: folder }, { sandbox: 'require' })
      await assert.rejects(executor.start(), (error: unknown) => error instanceof IsolationError && /No permissions to create new namespace/.test(error.message))
      await assert.rejects(executor.workspace(), /not running/)
    })
  })

  it('needs at least one slot', () => {
    assert.throws(() => createExecutor({ scratch: '/x' }, { slots: 0 }), RangeError)
    assert.throws(() => createExecutor({ scratch: '/x' }, { slots: 1.5 }), RangeError)
  })
})
