import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { printJson, tell } from './lib/terminal.ts'

export function configure (command: Command): void {
  command.option('--json', 'print the status as JSON').action(async ({ json = false }: { json?: boolean }) => {
    const client = await connect(resolvePaths().dataDir)
    const status = await client.resumeWork()
    if (json) printJson(status)
    else tell(`weft: takes work from others again${status.availability?.reason == null ? '' : `, as far as its policy lets it (${status.availability.reason})`}`)
  })
}
