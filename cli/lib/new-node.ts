/** What `init` and `join` do: keys and a configuration for a node that has none yet. */
import { randomInt } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { resolvePaths, validateConfig } from '../../daemon/config/index.ts'
import { openDataDir } from '../../daemon/store/index.ts'
import { loadOrCreateIdentity } from '../../daemon/trust/index.ts'
import { PORT_MAX, PORT_MIN } from './constants.ts'
import { Failure } from './failure.ts'

export interface NewNode { peerId: string, operator: string, dataDir: string, configFile: string }

export interface NewNodeConfig {
  network: string
  /** base64url; absent: an open network. */
  secret?: string
  bootstrap?: string[]
  trust: { everyone: boolean, peers: string[] }
}

/** @throws Failure `already-initialised`; ConfigError naming `where` */
export async function newNode (wanted: NewNodeConfig, where: string): Promise<NewNode> {
  const { dataDir, configFile } = resolvePaths()
  // A port of its own, kept for good: addresses in join strings, and those others remember, stay true after a restart.
  const listen = wanted.secret == null ? {} : { listen: [`/ip4/0.0.0.0/tcp/${randomInt(PORT_MIN, PORT_MAX)}`] }
  const config = { ...wanted, ...listen }
  validateConfig(config, where)
  for (const file of [configFile, join(dataDir, 'node.key'), join(dataDir, 'operator.key')]) {
    if (await exists(file)) throw new Failure('already-initialised', `${file} exists already: this node is initialised; use it with 'weft start', or choose another folder with WEFT_HOME`, { file })
  }
  await using dir = await openDataDir(dataDir)
  const identity = await loadOrCreateIdentity(dir, { network: wanted.network })
  await mkdir(dirname(configFile), { recursive: true, mode: 0o700 })
  await writeFile(configFile, `${JSON.stringify(config, null, 2)}\n`, { flag: 'wx', mode: 0o600 })
  return { peerId: identity.peerId.toString(), operator: identity.operator, dataDir, configFile }
}

async function exists (path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
