/** What the executor's tests share: an executor over a scratch folder of its own, and tasks for the test converter. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Parameters } from '../../../daemon/block-convert/index.ts'
import { createExecutor, type EngineLimits, type EngineOutcome, type Executor, type ExecutorInit } from '../../../daemon/executor/index.ts'

export type Sandbox = 'require' | 'off'
/** The concrete executor, which also tells the process ids of its engines. */
export type TestExecutor = ReturnType<typeof createExecutor>

export interface Bench {
  executor: TestExecutor
  scratch: string
  close: () => Promise<void>
}

/** Lets `probe/fault` appear for the tests of a describe block, in this process and in engine processes. */
export function withTestConverters (): void {
  let previous: string | undefined
  before(() => {
    previous = process.env['WEFT_TEST_CONVERTERS']
    process.env['WEFT_TEST_CONVERTERS'] = '1'
  })
  after(() => {
    if (previous == null) delete process.env['WEFT_TEST_CONVERTERS']
    else process.env['WEFT_TEST_CONVERTERS'] = previous
  })
}

export async function bench (init: ExecutorInit): Promise<Bench> {
  const scratch = await mkdtemp(join(tmpdir(), 'weft-executor-'))
  const executor = createExecutor({ scratch }, init)
  await executor.start()
  return {
    executor,
    scratch,
    close: async () => {
      await executor.stop()
      await rm(scratch, { recursive: true, force: true })
    }
  }
}

export interface RunInit {
  converter?: string
  parameters?: Parameters
  input?: Uint8Array | string
  /** As bytes in the task instead of a file. */
  inline?: boolean
  limits?: Partial<EngineLimits>
  signal?: AbortSignal
  onProgress?: (done: number) => void
}

/** Runs one task in a workspace of its own, and gives the outcome with the output's bytes. */
export async function run (executor: Executor, init: RunInit = {}): Promise<{ outcome: EngineOutcome, bytes?: Buffer }> {
  const workspace = await executor.workspace()
  try {
    const input = Buffer.from(init.input ?? 'some bytes')
    const path = join(workspace.path, 'block')
    if (init.inline !== true) await writeFile(path, input)
    const outcome = await executor.run({
      converter: init.converter ?? 'probe/fault',
      version: '1',
      parameters: init.parameters ?? {},
      input: init.inline === true ? { bytes: input } : { path, size: input.byteLength },
      workspace,
      limits: init.limits
    }, { signal: init.signal, onProgress: init.onProgress })
    if (!outcome.ok) return { outcome }
    return { outcome, bytes: 'bytes' in outcome.output ? Buffer.from(outcome.output.bytes) : await readFile(outcome.output.path) }
  } finally {
    await workspace.dispose()
  }
}

/** The reason a failed outcome gives; fails the test if it did not fail. */
export function failed (outcome: EngineOutcome): Extract<EngineOutcome, { ok: false }> {
  assert.equal(outcome.ok, false, 'expected a failure')
  return outcome as Extract<EngineOutcome, { ok: false }>
}

/** Waits until a condition holds, looking at it again and again; the test's own time limit ends it. */
export async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5))
}

/** Is there a process with this id? */
export function exists (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    // ESRCH: there is none.
    return false
  }
}
