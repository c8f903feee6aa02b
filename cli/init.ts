import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { TEST_NETWORK_PREFIX } from '../daemon/config/index.ts'
import { usage } from './lib/failure.ts'
import { newNode } from './lib/new-node.ts'
import { fields, print, printJson, tell } from './lib/terminal.ts'

/** Bytes of a private network's secret (daemon/network/proof.ts). */
const SECRET_BYTES = 32

interface Options { network?: string, open?: boolean, json?: boolean }

export function configure (command: Command): void {
  command
    .option('--network <name>', 'name of the network (default: a random one)')
    .option('--open', 'an open network: without a secret, working with every peer that knows its name')
    .option('--json', 'print JSON')
    .addHelpText('after', `
Makes a private network: only who has its secret is served, and its members work for one another.
  weft init && weft start        on the first machine
  weft invite                    prints the one word that others need
  weft join STRING && weft start on every other machine`)
    .action(init)
}

async function init ({ network = `net-${randomBytes(5).toString('hex')}`, open = false, json = false }: Options): Promise<void> {
  if (network.startsWith(TEST_NETWORK_PREFIX)) throw usage(`--network: names that start with '${TEST_NETWORK_PREFIX}' are for test networks: run one with 'weft testnet up'`)
  const node = await newNode({ network, ...(open ? {} : { secret: randomBytes(SECRET_BYTES).toString('base64url') }), trust: { everyone: open, peers: [] } }, '--network')
  if (json) return printJson({ peerId: node.peerId, operator: node.operator, network, open, private: !open, dataDir: node.dataDir, configFile: node.configFile })
  print(fields([['peer id', node.peerId], ['operator', node.operator], ['network', `${network} (${open ? 'open' : 'private'})`], ['config', node.configFile], ['data', node.dataDir]]))
  if (open) tell('Every peer that knows the name of the network may send work here and is sent blocks of your data.')
  tell(open ? 'Start the daemon with: weft start' : 'Start the daemon with: weft start. Then let others in with: weft invite')
}
