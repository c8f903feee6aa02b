import type { Command } from 'commander'
import { TEST_NETWORK_PREFIX, decodeJoinString } from '../daemon/config/index.ts'
import { usage } from './lib/failure.ts'
import { newNode } from './lib/new-node.ts'
import { fields, print, printJson, tell } from './lib/terminal.ts'

export function configure (command: Command): void {
  command
    .argument('<string>', 'what \'weft invite\' printed on a member of the network')
    .option('--json', 'print JSON')
    .action(join)
}

async function join (text: string, { json = false }: { json?: boolean }): Promise<void> {
  const { network, secret, addresses } = decodeJoinString(text.trim())
  if (network.startsWith(TEST_NETWORK_PREFIX)) throw usage(`network ${network} is a test network: its nodes are started by 'weft testnet'`)
  const node = await newNode({ network, ...(secret == null ? {} : { secret }), bootstrap: addresses, trust: { everyone: secret == null, peers: [] } }, 'the join string')
  if (json) return printJson({ peerId: node.peerId, operator: node.operator, network, private: secret != null, bootstrap: addresses, dataDir: node.dataDir, configFile: node.configFile })
  print(fields([['peer id', node.peerId], ['operator', node.operator], ['network', `${network} (${secret == null ? 'open' : 'private'})`], ['config', node.configFile], ['data', node.dataDir]]))
  if (secret == null) tell('This network is open: every peer that knows its name may send work here and is sent blocks of your data.')
  tell('Start the daemon with: weft start')
}
