import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { DoctorCheck } from '../daemon/gateway/index.ts'
import { findDaemon } from './lib/client.ts'
import { EXIT } from './lib/exit.ts'
import { shown } from './lib/names.ts'
import { print, printJson, styled, tell } from './lib/terminal.ts'
import { count } from './lib/units.ts'

interface Options { config?: string, deep?: boolean, json?: boolean }

/** Told apart by shape, not by colour alone. */
const MARKS = { ok: ['✓', 'green'], warning: ['!', 'yellow'], failed: ['✗', 'red'] } as const

export function configure (command: Command): void {
  command
    .option('--deep', 'read all of the data directory, too: journal, stored blocks, left-over partial outputs (the daemon must be stopped)')
    .option('--config <file>', 'configuration file, where no daemon is running')
    .option('--json', 'print JSON')
    .addHelpText('after', `
Looks at the running daemon and asks up to three neighbours to dial back; without one, at what it would find when it starts.
Exits 1 if a check failed, 0 otherwise.`)
    .action(doctor)
}

async function doctor ({ config, deep = false, json = false }: Options): Promise<void> {
  const { dataDir } = resolvePaths()
  const client = await findDaemon(dataDir)
  const checks = client != null ? (await client.doctor()).checks : await (await import('./lib/doctor-offline.ts')).offlineChecks(dataDir, config)
  if (deep) {
    checks.push(...client != null
      ? [{ name: 'deep', state: 'warning', says: 'not looked at: the daemon is using the data directory', mend: 'weft stop && weft doctor --deep' } satisfies DoctorCheck]
      : await (await import('./lib/doctor-deep.ts')).deepChecks(dataDir, config))
  }
  if (checks.some(({ state }) => state === 'failed')) process.exitCode = EXIT.failed
  if (json) return printJson({ daemon: client != null, checks })
  const width = Math.max(...checks.map(({ name }) => name.length))
  for (const check of checks) print(lines(check, width))
  const number = (state: DoctorCheck['state']): number => checks.filter(check => check.state === state).length
  tell(`weft: ${count(checks.length, 'check')}: ${count(number('failed'), 'failure')}, ${count(number('warning'), 'warning')}`)
}

/** What was found, and below it what to do. Parts of it are words of neighbours and of systems: they move no cursor. */
function lines ({ name, state, says, mend }: DoctorCheck, width: number): string {
  const [mark, colour] = MARKS[state]
  const first = `${styled(colour, mark, process.stdout)} ${name.padEnd(width)}  ${shown(says)}`
  return mend == null ? first : `${first}\n${' '.repeat(width + 4)}→ ${shown(mend)}`
}
