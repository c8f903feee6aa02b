import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { STOP_LOOK_MS, STOP_WAIT_MS } from './lib/constants.ts'
import { Failure } from './lib/failure.ts'
import { isRunning } from './lib/process.ts'
import { printJson, tell } from './lib/terminal.ts'
import { formatSeconds } from './lib/units.ts'

export function configure (command: Command): void {
  command.option('--json', 'print JSON').action(async ({ json = false }: { json?: boolean }) => {
    const { dataDir } = resolvePaths()
    const client = await connect(dataDir)
    const { pid, load } = await client.status()
    await client.shutdown()
    if (load.active + load.jobs > 0) tell(`weft: the daemon (process ${pid}) finishes or hands back what runs first`)
    const deadline = performance.now() + STOP_WAIT_MS
    while (isRunning(pid)) {
      if (performance.now() > deadline) {
        throw new Failure('still-running', `the daemon (process ${pid}) still runs after ${formatSeconds(STOP_WAIT_MS / 1000)}: see its log, or end it with 'kill ${pid}'`, { pid })
      }
      await delay(STOP_LOOK_MS)
    }
    if (json) printJson({ state: 'stopped', pid })
    else tell(`weft: stopped (process ${pid})`)
  })
}
