/** A node of this process, for the time of one command, where no daemon is running. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, findDaemon } from './client.ts'
import { ATTACH_LOOK_MS, ATTACH_WAIT_MS } from './constants.ts'
import { tell } from './terminal.ts'

export interface Session extends AsyncDisposable {
  client: Client
  embedded: boolean
}

/** The running daemon, or else an embedded node. */
export async function openSession (dataDir: string, { configFile }: { configFile?: string } = {}): Promise<Session> {
  const client = await findDaemon(dataDir)
  if (client != null) return attached(client)
  try {
    return await embed(dataDir, configFile)
  } catch (error) {
    if ((error as Error).name !== 'DataDirLockedError') throw error
    // Somebody else is just starting, a daemon or another embedded node: attach to that one.
    const other = await awaitDaemon(dataDir)
    if (other == null) throw error
    return attached(other)
  }
}

const attached = (client: Client): Session => ({ client, embedded: false, [Symbol.asyncDispose]: async () => {} })

async function awaitDaemon (dataDir: string): Promise<Client | undefined> {
  const deadline = performance.now() + ATTACH_WAIT_MS
  for (;;) {
    const client = await findDaemon(dataDir)
    if (client != null || performance.now() > deadline) return client
    await delay(ATTACH_LOOK_MS)
  }
}

async function embed (dataDir: string, configFile: string | undefined): Promise<Session> {
  const [{ createNode }, { loadConfig }, { createGateway }, { createLog }] = await Promise.all([
    import('../../daemon/node.ts'), import('../../daemon/config/index.ts'), import('../../daemon/gateway/index.ts'), import('../../daemon/log.ts')])
  const { config, origins } = await loadConfig(configFile != null ? { configFile } : {})
  // A person at a terminal wants the result; what the node says is asked for explicitly.
  const log = createLog(origins['log.level']?.from === 'default' ? 'error' : config.log.level)
  const parts = new AsyncDisposableStack()
  try {
    const node = parts.use(await createNode({ config, dataDir, embedded: true, log }))
    await node.start()
    // Its API, as a daemon would have it: this command and others that attach use the same path.
    const token = randomBytes(32).toString('hex')
    const uploads = parts.adopt(await mkdtemp(join(tmpdir(), 'weft-uploads-')), async folder => { await rm(folder, { recursive: true, force: true }) })
    const gateway = createGateway({ node: node.api, log }, { host: '127.0.0.1', port: 0, token, roots: [], uploads: join(uploads, 'kept') })
    parts.defer(async () => { await gateway.stop() })
    await gateway.start()
    for (const [name, text] of [['token', token], ['api', gateway.url]] as const) {
      const path = join(dataDir, name)
      await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600 })
      await rename(`${path}.new`, path)
      parts.defer(async () => { await rm(path, { force: true }) })
    }
    const client = new Client(gateway.url, token, dataDir)
    parts.defer(async () => { await finishOthers(client) })
    return { client, embedded: true, [Symbol.asyncDispose]: async () => { await parts.disposeAsync() } }
  } catch (error) {
    await parts.disposeAsync()
    throw error
  }
}

/** A second command may have attached to this process: its jobs are finished before the node goes. */
async function finishOthers (client: Client): Promise<void> {
  for (const state of ['preparing', 'running', 'merging']) {
    for (const { job } of await client.jobs({ state })) {
      tell('weft: another command uses this embedded node; waiting for its job')
      await client.wait(job)
    }
  }
}
