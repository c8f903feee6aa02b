import type { Command } from 'commander'
import { encodeJoinString, loadConfig } from '../daemon/config/index.ts'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { Failure } from './lib/failure.ts'
import { print, printJson, tell } from './lib/terminal.ts'

export function configure (command: Command): void {
  command
    .option('--config <file>', 'configuration file the daemon was started with')
    .option('--json', 'print JSON')
    .action(invite)
}

async function invite ({ config: file, json = false }: { config?: string, json?: boolean }): Promise<void> {
  const status = await (await connect(resolvePaths().dataDir)).status()
  const { config } = await loadConfig(file != null ? { configFile: file } : {})
  if (config.network !== status.network) throw new Failure('usage', `the daemon is in network '${status.network}', but the configuration says '${config.network}': name its file with --config`)
  const remote = status.multiaddrs.filter(address => !isLoopback(address))
  const addresses = remote.length > 0 ? remote : status.multiaddrs
  const string = encodeJoinString({ network: status.network, ...(config.secret === '' ? {} : { secret: config.secret }), addresses })
  if (json) return printJson({ join: string, network: status.network, private: config.secret !== '', addresses })
  print(string)
  tell(config.secret === '' ? 'This network is open: who knows its name needs no invitation.' : 'Whoever has this string is a member: pass it on as you would a password. On the other machine: weft join STRING && weft start')
  if (remote.length === 0) tell('This daemon listens on loopback only, so the string works on this machine alone: listen on an address that others reach (listen in the configuration).')
}

const isLoopback = (address: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
