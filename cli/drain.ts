import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { DRAIN_DEADLINE_SECONDS, DRAIN_DEADLINE_SECONDS_MAX, DRAIN_LOOK_MS, DRAIN_TELL_MS } from './lib/constants.ts'
import { Failure, usage } from './lib/failure.ts'
import { printJson, tell } from './lib/terminal.ts'
import { count, formatSeconds, parseSeconds } from './lib/units.ts'

interface Options { deadline?: string, json?: boolean }

export function configure (command: Command): void {
  command
    .option('--deadline <time>', `hand back what still runs after this time; default ${DRAIN_DEADLINE_SECONDS / 60}m`)
    .option('--json', 'print the status as JSON once it is done')
    .addHelpText('after', '\nOwn jobs go on. Interrupting this command leaves the daemon draining; \'weft resume\' takes work again.')
    .action(drain)
}

/** Returns when nothing of others is left. */
async function drain ({ deadline, json = false }: Options): Promise<void> {
  const seconds = deadline == null ? DRAIN_DEADLINE_SECONDS : parseSeconds(deadline, '--deadline')
  if (seconds > DRAIN_DEADLINE_SECONDS_MAX) throw usage(`--deadline: '${deadline}' is too long: at most ${DRAIN_DEADLINE_SECONDS_MAX / 3600}h`, { option: '--deadline', value: deadline })
  const client = await connect(resolvePaths().dataDir)
  let status = await client.drain(Math.round(seconds * 1000))
  if (status.load.active > 0) tell(`weft: draining: ${count(status.load.active, 'block')} for ${count(status.load.leases, 'other node')} to finish, for at most ${formatSeconds(seconds)}`)
  let toldAt = performance.now()
  while (status.state === 'draining') {
    await delay(DRAIN_LOOK_MS)
    status = await client.status()
    if (performance.now() - toldAt < DRAIN_TELL_MS) continue
    toldAt = performance.now()
    tell(`weft: draining: ${count(status.load.active, 'block')} for others left`)
  }
  if (status.state !== 'drained') throw new Failure('interrupted', `the daemon is ${status.state}: somebody else resumed or stopped it meanwhile`, { state: status.state })
  if (json) printJson(status)
  else tell('weft: drained: nothing runs here for others; take work again with \'weft resume\'')
}
