/** Engines that work for others, stopped and let go on: with the sandbox, which runs them in a session of its own, and without. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { EngineOutcome } from '../../../daemon/executor/index.ts'
import { treeOf } from '../../../daemon/executor/process-tree.ts'
import { usageOfTree } from '../../../daemon/executor/usage.ts'
import { requires } from '../../fixtures/requires.ts'
import { bench, exists, failed, until, withTestConverters, type Bench, type RunInit, type Sandbox } from './setup.ts'

const MIB = 2 ** 20

/** R, S, T, ... of each process of a tree. */
const statesOf = (pid: number): string[] => treeOf(pid).map(one => {
  const stat = readFileSync(`/proc/${one}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
})

function pauses (sandbox: Sandbox): void {
  let b: Bench
  withTestConverters()
  beforeEach(async () => { b = await bench({ slots: 2, sandbox, limits: { memoryBytes: 512 * MIB } }) })
  afterEach(async () => { await (b as Bench | undefined)?.close() })

  async function run ({ parameters = {}, limits, signal, onProgress }: RunInit, guest: boolean, onBegin?: () => void): Promise<EngineOutcome> {
    const workspace = await b.executor.workspace()
    try {
      return await b.executor.run({ converter: 'probe/fault', version: '1', parameters, input: { bytes: Buffer.from('some bytes') }, workspace, limits }, { signal, onProgress, guest, onBegin })
    } finally {
      await workspace.dispose()
    }
  }

  /** Spins until it is cancelled; resolves once it uses CPU. */
  async function spinning (guest: boolean, limits?: RunInit['limits']): Promise<{ outcome: Promise<EngineOutcome>, cancel: AbortController, pid: number }> {
    const before = new Set(b.executor.pids())
    const cancel = new AbortController()
    const outcome = run({ parameters: { mode: 'hang' }, limits, signal: cancel.signal }, guest)
    await until(() => b.executor.pids().some(pid => !before.has(pid) && usageOfTree(pid).cpuMs > 300))
    return { outcome, cancel, pid: b.executor.pids().find(pid => !before.has(pid)) as number }
  }

  it('frees the CPU while it is paused, and goes on afterwards', async () => {
    const { outcome, cancel, pid } = await spinning(true)
    b.executor.limitGuests({ slots: 2, paused: true })
    await until(() => statesOf(pid).every(state => state === 'T'))
    const stopped = usageOfTree(pid).cpuMs
    await delay(500)
    assert.equal(usageOfTree(pid).cpuMs, stopped, 'a stopped engine uses nothing at all')
    b.executor.limitGuests({ slots: 2, paused: false })
    await until(() => usageOfTree(pid).cpuMs > stopped + 100)
    cancel.abort()
    assert.equal(failed(await outcome).reason, 'cancelled')
  })

  it('does not count the pause against stall and wall limits, nor as work', async () => {
    const LIMIT = 1500
    let begun = 0
    const outcome = run({ parameters: { mode: 'slow', milliseconds: 1000 }, limits: { stallMs: LIMIT, wallMs: LIMIT } }, true, () => { begun = performance.now() })
    await until(() => b.executor.busy === 1 && begun > 0 && b.executor.pids().length === 1)
    b.executor.limitGuests({ slots: 2, paused: true })
    await delay(2 * LIMIT)
    b.executor.limitGuests({ slots: 2, paused: false })
    const ended = await outcome
    assert.ok(ended.ok, JSON.stringify(ended))
    assert.ok(performance.now() - begun > 2 * LIMIT)
    assert.ok(ended.wallMs < 2 * LIMIT, `${ended.wallMs} ms of work`)
  })

  it('leaves this node\'s own work alone', async () => {
    const own = await spinning(false)
    const guest = await spinning(true)
    b.executor.limitGuests({ slots: 2, paused: true })
    await until(() => statesOf(guest.pid).every(state => state === 'T'))
    const before = usageOfTree(own.pid).cpuMs
    await until(() => usageOfTree(own.pid).cpuMs > before + 100)
    own.cancel.abort()
    guest.cancel.abort()
    assert.deepEqual((await Promise.all([own.outcome, guest.outcome])).map(end => failed(end).reason), ['cancelled', 'cancelled'])
  })

  it('can be cancelled while it is paused: the process goes, the slot is free, and the next task runs', async () => {
    const { outcome, cancel, pid } = await spinning(true)
    const tree = treeOf(pid)
    b.executor.limitGuests({ slots: 2, paused: true })
    cancel.abort()
    assert.equal(failed(await outcome).reason, 'cancelled')
    await until(() => !tree.some(exists))
    assert.equal(b.executor.busy, 0)
    assert.ok((await run({}, false)).ok)
  })

  it('begins nothing for others while paused, and goes on with what waited', async () => {
    b.executor.limitGuests({ slots: 2, paused: true })
    let begun = false
    const waiting = run({}, true, () => { begun = true })
    await until(() => b.executor.waiting === 1)
    assert.ok((await run({}, false)).ok, 'own work passes by')
    assert.equal(begun, false)
    b.executor.limitGuests({ slots: 2, paused: false })
    assert.ok((await waiting).ok)
  })

  it('ends what is paused when it stops', async () => {
    const { outcome, pid } = await spinning(true)
    const tree = treeOf(pid)
    b.executor.limitGuests({ slots: 2, paused: true })
    await b.executor.stop()
    assert.equal(failed(await outcome).reason, 'unavailable')
    await until(() => !tree.some(exists))
  })
}

describe('paused engines, sandbox off', function () {
  this.timeout(60_000)
  pauses('off')
})

describe('paused engines, sandbox require', function () {
  this.timeout(60_000)
  requires('bwrap', 'pausing engines that are sandboxed')
  pauses('require')
})

describe('engines that stand back', function () {
  withTestConverters()

  it('have the niceness they are given on top of the daemon\'s, all of them', async () => {
    const { executor, close } = await bench({ slots: 1, sandbox: 'off', niceness: 7 })
    try {
      const workspace = await executor.workspace()
      assert.ok((await executor.run({ converter: 'probe/fault', version: '1', parameters: {}, input: { bytes: Buffer.from('x') }, workspace })).ok)
      const pids = executor.pids().flatMap(treeOf)
      assert.ok(pids.length > 0)
      for (const pid of pids) {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
        assert.equal(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16], String(Math.min(19, getPriority() + 7)))
      }
    } finally {
      await close()
    }
  })
})
