import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { fields, print, printJson } from './lib/terminal.ts'
import { count, formatSeconds } from './lib/units.ts'

export function configure (command: Command): void {
  command.option('--json', 'print JSON').action(async ({ json = false }: { json?: boolean }) => {
    const client = await connect(resolvePaths().dataDir)
    const status = await client.status()
    if (json) return printJson(status)
    const { availability, executor, load } = status
    print(fields([
      ['state', `${status.state}, up ${formatSeconds(status.uptimeSeconds)}, process ${status.pid}`],
      ['network', `${status.network}, ${count(status.peers, 'peer')} connected`],
      ['peer id', status.peerId],
      ['operator', status.operator],
      ...status.multiaddrs.map((address, index): [string, string] => [index === 0 ? 'addresses' : '', address]),
      ['api', status.api],
      ['data', status.dataDir],
      ['executor', `${executor.busy} of ${count(executor.slots, 'slot')} busy; ${executor.bwrap ? 'sandboxed with bwrap' : executor.rlimits ? 'resource limits, no sandbox (bwrap is missing)' : 'not isolated'}`],
      ...(availability?.reason == null ? [] : [['for others', `${availability.paused ? 'paused' : availability.slots === 0 ? 'nothing new' : count(availability.slots, 'slot')}: ${availability.reason}`] as [string, string]]),
      ['work', `${count(load.jobs, 'own job')}; ${count(load.active, 'block')} for ${count(load.leases, 'other node')}`]
    ]))
  })
}
