import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { requires } from '../../fixtures/requires.ts'
import { exists, until } from './setup.ts'

const DAEMON = `
  import { createExecutor } from ${JSON.stringify(join(import.meta.dirname, '../../../daemon/executor/index.ts'))}
  const [scratch, sandbox] = process.argv.slice(-2)
  const executor = createExecutor({ scratch }, { slots: 1, sandbox })
  await executor.start()
  const workspace = await executor.workspace()
  void executor.run({ converter: 'probe/fault', version: '1', parameters: { mode: 'hang' }, input: { bytes: new Uint8Array(1) }, workspace })
  setInterval(() => { if (executor.busy === 1 && executor.pids().length === 1) console.log(executor.pids()[0]) }, 20)
`

for (const sandbox of ['off', 'require']) {
  describe(`a daemon killed while an engine spins, sandbox ${sandbox}`, () => {
    if (sandbox === 'require') requires('bwrap', 'that no sandboxed engine survives its daemon')

    it('takes the engine along', async () => {
      const scratch = await mkdtemp(join(tmpdir(), 'weft-orphan-'))
      const daemon = spawn(process.execPath, ['--input-type=module', '-e', DAEMON, scratch, sandbox], {
        stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, WEFT_TEST_CONVERTERS: '1' }
      })
      const pid = await new Promise<number>((resolve, reject) => {
        createInterface(daemon.stdout).once('line', line => { resolve(Number(line)) })
        daemon.once('exit', code => { reject(new Error(`the daemon ended with ${code}`)) })
      })
      assert.ok(exists(pid))
      daemon.kill('SIGKILL')
      await until(() => !exists(pid))
      await rm(scratch, { recursive: true })
    })
  })
}
