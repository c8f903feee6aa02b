import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { usageOfTree } from '../../../daemon/executor/usage.ts'
import { until } from './setup.ts'

describe('usage of a process tree', () => {
  it('sees this process as Node does', () => {
    const { rssBytes, cpuMs } = usageOfTree(process.pid)
    const expected = process.memoryUsage.rss()
    assert.ok(Math.abs(rssBytes - expected) < expected * 0.5, `${rssBytes} against ${expected}`)
    const { user, system } = process.cpuUsage()
    assert.ok(Math.abs(cpuMs - (user + system) / 1000) < 500, `${cpuMs}`)
  })

  it('adds up descendants', async () => {
    const child = spawn('/bin/sh', ['-c', `"${process.execPath}" -e "globalThis.kept = Buffer.alloc(80 << 20, 1); setInterval(() => {}, 1000)"; true`], { detached: true, stdio: 'ignore' })
    assert.ok(child.pid != null)
    const { pid } = child
    await until(() => usageOfTree(pid).rssBytes > 100 * 2 ** 20)
    process.kill(-pid, 'SIGKILL')
    await new Promise(resolve => child.once('close', resolve))
    assert.deepEqual(usageOfTree(pid), { rssBytes: 0, cpuMs: 0 })
  })
})
