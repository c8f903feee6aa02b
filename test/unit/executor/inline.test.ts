import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createExecutor } from '../../../daemon/executor/index.ts'

describe('inline', () => {
  const executor = createExecutor({ scratch: '/nowhere' })

  it('runs the no-op at once, without a promise, and without having been started', () => {
    const outcome = executor.runInline('probe/noop', {}, Buffer.from('abc'))
    assert.ok(!(outcome instanceof Promise) && outcome.ok && 'bytes' in outcome.output)
    assert.equal(Buffer.from(outcome.output.bytes).toString('hex'), createHash('sha256').update('abc').digest('hex'))
    assert.equal(outcome.units, 1)
    assert.ok(outcome.wallMs >= 0 && outcome.cpuMs >= 0)
  })

  it('refuses, as data, what is unknown or needs a process', async () => {
    for (const id of ['probe/copy', 'probe/sleep', 'probe/unknown', '__proto__']) {
      const outcome = await executor.runInline(id, {}, new Uint8Array())
      assert.equal(!outcome.ok && outcome.reason, 'unavailable', id)
    }
  })

  it('does nothing for a signal that has fired', async () => {
    const outcome = await executor.runInline('probe/noop', {}, new Uint8Array(), AbortSignal.abort())
    assert.equal(!outcome.ok && outcome.reason, 'cancelled')
  })

  it('leaves everything else to the started executor', async () => {
    const outcome = await executor.run({ converter: 'probe/copy', version: '1', parameters: {}, input: { bytes: new Uint8Array() }, workspace: { path: '/nowhere', dispose: async () => {} } })
    assert.equal(!outcome.ok && outcome.reason, 'unavailable')
    await executor.stop()
  })
})
