/** What a daemon costs that does nothing, and how long a user waits for it: memory, time to ready, time of `--help`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { figure, type BenchOptions, type Figure } from './figure.ts'
import { run as execute } from '../test/fixtures/testnet.ts'

const root = join(import.meta.dirname, '..')
const weft = join(root, 'bin', 'weft')

/** Milliseconds a daemon is left alone before its memory is read: start-up garbage has been collected by then. */
const SETTLE_MS = 15_000

async function daemon (): Promise<{ readyMs: number, rssMb: number }> {
  const home = await mkdtemp(join(tmpdir(), 'weft-bench-'))
  const started = performance.now()
  const child = spawn(process.execPath, [weft, 'start'], { env: { ...process.env, WEFT_EXECUTOR_SELF_MEASURE: 'off', WEFT_HOME: home }, stdio: 'ignore' })
  try {
    let readyMs = 0
    while (readyMs === 0) {
      const api = await readFile(join(home, 'api'), 'utf8').catch(() => undefined)
      const ready = api != null && await fetch(`${api.trim()}/readyz`).then(response => response.ok, () => false)
      if (ready) readyMs = performance.now() - started
      else await new Promise(resolve => setTimeout(resolve, 10))
      if (child.exitCode != null) throw new Error(`the daemon ended with ${child.exitCode}`)
    }
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
    return { readyMs, rssMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024 }
  } finally {
    child.kill('SIGTERM')
    if (child.exitCode == null) await once(child, 'exit')
    await rm(home, { recursive: true, force: true })
  }
}

async function help (): Promise<number> {
  const started = performance.now()
  const { code } = await execute(process.execPath, [weft, '--help'])
  if (code !== 0) throw new Error(`weft --help ended with ${code}`)
  return performance.now() - started
}

export async function run ({ runs, log }: BenchOptions): Promise<Record<string, Figure>> {
  const readyMs: number[] = []
  const rssMb: number[] = []
  const helpMs: number[] = []
  await help()
  for (let i = 0; i < runs; i++) {
    helpMs.push(await help())
    const one = await daemon()
    readyMs.push(one.readyMs)
    rssMb.push(one.rssMb)
    log(`run ${i + 1}: ready in ${one.readyMs.toFixed(0)} ms, ${one.rssMb.toFixed(0)} MB`)
  }
  return { idle_rss_mb: figure(rssMb, 'MiB'), ready_ms: figure(readyMs, 'ms'), help_ms: figure(helpMs, 'ms') }
}
