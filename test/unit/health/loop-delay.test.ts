import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { createLoopDelay } from '../../../daemon/health/index.ts'

function block (ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe('loop delay', () => {
  it('is 0 before start and after stop', () => {
    const delay = createLoopDelay({ sampleMs: 1 })
    block(20)
    assert.equal(delay.worst(), 0)
    delay.start()
    block(20)
    assert.ok(delay.worst() > 0)
    delay.stop()
    assert.equal(delay.worst(), 0)
  })

  it('tells of a pause at once, before its own timer had a turn', () => {
    const delay = createLoopDelay({ sampleMs: 10 })
    delay.start()
    block(150)
    const worst = delay.worst()
    delay.stop()
    assert.ok(worst >= 135 && worst < 5000, `${worst}`)
  })

  it('keeps the worst of the window, then forgets it', async () => {
    let at = 0
    const clock = { looks: 0 }
    const delay = createLoopDelay({ sampleMs: 1, windowMs: 1000, now: () => { clock.looks++; return at } })
    /** Moves the clock and waits until the timer has taken a sample at that time. */
    const sampleAt = async (time: number): Promise<void> => {
      at = time
      const before = clock.looks
      while (clock.looks === before) await new Promise(resolve => setImmediate(resolve))
    }
    delay.start()
    await sampleAt(301) // due at 1: 300 ms late
    assert.equal(delay.worst(), 300)
    await sampleAt(352) // due at 302: 50 ms late
    assert.equal(delay.worst(), 300)
    for (let time = 353; time <= 1301; time++) await sampleAt(time)
    assert.equal(delay.worst(), 300)
    await sampleAt(1302)
    assert.equal(delay.worst(), 50)
    for (let time = 1303; time <= 1353; time++) await sampleAt(time)
    assert.equal(delay.worst(), 0)
    delay.stop()
  })

  it('does not keep a process alive', () => {
    const index = join(import.meta.dirname, '../../../daemon/health/index.ts')
    const script = `const { createLoopDelay } = await import(${JSON.stringify(index)}); createLoopDelay().start(); console.log('done')`
    assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 10_000 }).toString(), 'done\n')
  })
})
