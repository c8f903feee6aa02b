import { randomBytes } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { TEST_NETWORK_PREFIX, resolvePaths, validateConfig } from '../daemon/config/index.ts'
import { openDataDir } from '../daemon/store/index.ts'
import { loadOrCreateIdentity } from '../daemon/trust/index.ts'
import { Failure, usage } from './lib/failure.ts'
import { fields, print, printJson, tell } from './lib/terminal.ts'

interface Options { network?: string, open?: boolean, json?: boolean }

export function configure (command: Command): void {
  command
    .option('--network <name>', 'network to be part of (default: a new one with a random name)')
    .option('--open', 'work with every peer of the network, not only with those in trust.peers')
    .option('--json', 'print JSON')
    .action(init)
}

async function init ({ network = `net-${randomBytes(5).toString('hex')}`, open = false, json = false }: Options): Promise<void> {
  const { dataDir, configFile } = resolvePaths()
  if (network.startsWith(TEST_NETWORK_PREFIX)) throw usage(`--network: names that start with '${TEST_NETWORK_PREFIX}' are for test networks: run one with 'weft testnet up'`)
  const config = { network, trust: { everyone: open, peers: [] } }
  validateConfig(config, '--network')
  for (const file of [configFile, join(dataDir, 'node.key'), join(dataDir, 'operator.key')]) {
    if (await exists(file)) throw new Failure('already-initialised', `${file} exists already: this node is initialised; use it with 'weft start', or choose another folder with WEFT_HOME`, { file })
  }
  await using dir = await openDataDir(dataDir)
  const identity = await loadOrCreateIdentity(dir, { network })
  await mkdir(dirname(configFile), { recursive: true, mode: 0o700 })
  await writeFile(configFile, `${JSON.stringify(config, null, 2)}\n`, { flag: 'wx', mode: 0o600 })
  const made = { peerId: identity.peerId.toString(), operator: identity.operator, network, open, dataDir, configFile }
  if (json) return printJson(made)
  print(fields([['peer id', made.peerId], ['operator', made.operator], ['network', network], ['config', configFile], ['data', dataDir]]))
  tell(open
    ? 'Every peer that knows the name of the network may send work here and is sent blocks of your data.'
    : 'Blocks go to and come from the peers in trust.peers only, and that list is empty: add peer ids to the configuration.')
  tell('Start the daemon with: weft start')
}

async function exists (path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
