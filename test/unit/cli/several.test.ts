import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import type { Client } from '../../../cli/lib/client.ts'
import type { Outcome } from '../../../cli/lib/conversion.ts'
import { EXIT } from '../../../cli/lib/exit.ts'
import type { Interrupt } from '../../../cli/lib/interrupt.ts'
import { runSeveral } from '../../../cli/lib/several.ts'

const client = { events: async function * () { yield * [] } } as unknown as Client

function interrupt (): Interrupt & { controller: AbortController } {
  const controller = new AbortController()
  return { controller, signal: controller.signal, onAbort: () => () => {}, release: () => {} }
}

const silent = (): NodeJS.WriteStream => new PassThrough() as unknown as NodeJS.WriteStream

describe('many outputs of one command', () => {
  it('run some at a time, and are told in order however they end', async () => {
    const told: number[] = []
    const waiting = new Map<number, PromiseWithResolvers<void>>(Array.from({ length: 20 }, (_, i) => [i, Promise.withResolvers<void>()]))
    let running = 0
    let most = 0
    const started: number[] = []
    const done = runSeveral([...waiting.keys()], async (item): Promise<Outcome> => {
      started.push(item)
      most = Math.max(most, ++running)
      await waiting.get(item)!.promise
      running--
      return { exit: EXIT.done, tell: () => { told.push(item) } }
    }, { client, interrupt: interrupt(), quiet: true, stream: silent(), atOnce: 3 })
    // The first of those that run ends last.
    for (const item of [2, 1, 4, 3]) {
      waiting.get(item)!.resolve()
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.deepEqual(told, [])
    assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6])
    for (const { resolve } of waiting.values()) resolve()
    assert.equal(await done, EXIT.done)
    assert.equal(most, 3)
    assert.deepEqual(told, [...waiting.keys()])
  })

  it('one that fails makes the exit code 1, and the others go on', async () => {
    const told: number[] = []
    const exit = await runSeveral([0, 1, 2, 3], async item => ({ exit: item === 1 ? EXIT.checkFailed : EXIT.done, tell: () => { told.push(item) } }), { client, interrupt: interrupt(), quiet: true, stream: silent() })
    assert.equal(exit, EXIT.failed)
    assert.deepEqual(told, [0, 1, 2, 3])
  })

  it('begin nothing new once interrupted', async () => {
    const stop = interrupt()
    const begun: number[] = []
    const exit = await runSeveral([0, 1, 2, 3, 4, 5], async item => {
      begun.push(item)
      if (item === 2) stop.controller.abort()
      return { exit: EXIT.interrupted, tell: () => {} }
    }, { client, interrupt: stop, quiet: true, stream: silent(), atOnce: 1 })
    assert.equal(exit, EXIT.interrupted)
    assert.deepEqual(begun, [0, 1, 2])
  })
})
