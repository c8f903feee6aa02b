/** What can be said of a node while no daemon is running for it. */
import { constants } from 'node:fs'
import { access, readFile, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig } from '../../daemon/config/index.ts'
import { DISK_FULL_BYTES, DISK_LOW_BYTES } from '../../daemon/doctor-checks.ts'
import type { DoctorCheck } from '../../daemon/gateway/index.ts'
import { DATA_DIR_VERSION } from '../../daemon/store/constants.ts'
import { oneLine } from './failure.ts'
import { isRunning } from './process.ts'
import { formatBytes } from './units.ts'

const KEYS = ['operator.key', 'node.key']

/** Changes nothing. */
export async function offlineChecks (dataDir: string, configFile?: string): Promise<DoctorCheck[]> {
  const config = await configuration(configFile)
  const folder = await dataDirectory(dataDir)
  if (folder.state === 'failed' || folder.mend === INIT) return [config, folder, await daemon(dataDir)]
  return [config, folder, await format(dataDir), ...await Promise.all(KEYS.map(async name => await key(dataDir, name))), await disk(dataDir), await daemon(dataDir)]
}

const INIT = '\'weft init\' for a network of your own, or \'weft join STRING\' for one you were invited to'

async function configuration (configFile: string | undefined): Promise<DoctorCheck> {
  try {
    const { file, config } = await loadConfig(configFile == null ? {} : { configFile })
    return { name: 'configuration', state: 'ok', says: `${file ?? 'no file, so the defaults'}: network ${config.network} (${config.secret === '' ? 'open' : 'private'})` }
  } catch (error) {
    return { name: 'configuration', state: 'failed', says: oneLine((error as Error).message), mend: 'mend the file, then look again with \'weft config validate\'' }
  }
}

async function dataDirectory (dataDir: string): Promise<DoctorCheck> {
  const name = 'data directory'
  try {
    const info = await stat(dataDir)
    if (!info.isDirectory()) return { name, state: 'failed', says: `${dataDir} is not a folder`, mend: 'move it away, or choose another data directory with WEFT_HOME' }
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    if ((info.mode & 0o077) !== 0) return { name, state: 'warning', says: `${dataDir} is open to other users (mode ${(info.mode & 0o777).toString(8)})`, mend: `chmod 700 ${dataDir}` }
    return { name, state: 'ok', says: dataDir }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return { name, state: 'warning', says: `${dataDir} does not exist yet`, mend: INIT }
    return { name, state: 'failed', says: `${dataDir} cannot be used: ${code === 'EACCES' ? 'no permission' : oneLine(message)}`, mend: 'run this as the user who owns it, or choose another data directory with WEFT_HOME' }
  }
}

async function format (dataDir: string): Promise<DoctorCheck> {
  const name = 'format'
  const text = await readIfThere(join(dataDir, 'version'))
  if (text == null) return { name, state: 'warning', says: 'the data directory has no format version: no node has used it yet', mend: INIT }
  const version = Number(text.toString().trim())
  if (!Number.isSafeInteger(version) || version < 1) return { name, state: 'failed', says: `${join(dataDir, 'version')} does not hold a version number`, mend: `restore it, or move ${dataDir} away to start anew` }
  if (version > DATA_DIR_VERSION) return { name, state: 'failed', says: `the data directory has format ${version}, this program knows up to ${DATA_DIR_VERSION}`, mend: 'use a newer weft' }
  return { name, state: 'ok', says: version === DATA_DIR_VERSION ? `${version}` : `${version}; the next start brings it to ${DATA_DIR_VERSION}` }
}

async function key (dataDir: string, name: string): Promise<DoctorCheck> {
  const path = join(dataDir, name)
  try {
    const bytes = await readIfThere(path)
    if (bytes == null) return { name, state: 'warning', says: `${path} is not there`, mend: `restore it from a copy; without one, ${INIT}` }
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) return { name, state: 'failed', says: `${path} is open to other users (mode ${(mode & 0o777).toString(8)})`, mend: `chmod 600 ${path}; replace the key if somebody may have read it ('weft key --help')` }
    const { privateKeyFromProtobuf } = await import('@libp2p/crypto/keys')
    if (privateKeyFromProtobuf(bytes).type !== 'Ed25519') throw new Error('another kind of key')
    return { name, state: 'ok', says: 'an Ed25519 key, readable by its user alone' }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { name, state: 'failed', says: code === 'EACCES' ? `${path} cannot be read: no permission` : `${path} does not hold an Ed25519 private key`, mend: code === 'EACCES' ? 'run this as the user who owns it' : 'restore it from a copy' }
  }
}

async function disk (dataDir: string): Promise<DoctorCheck> {
  const { bavail, bsize } = await statfs(dataDir)
  const free = bavail * bsize
  const says = `${formatBytes(free)} free for ${dataDir}`
  if (free >= DISK_LOW_BYTES) return { name: 'disk', state: 'ok', says }
  return { name: 'disk', state: free < DISK_FULL_BYTES ? 'failed' : 'warning', says, mend: 'make room there, or move the data directory to another disk and name it with WEFT_HOME' }
}

async function daemon (dataDir: string): Promise<DoctorCheck> {
  const pid = Number((await readIfThere(join(dataDir, 'pid')).catch(() => undefined))?.toString().trim() ?? Number.NaN)
  if (isRunning(pid)) return { name: 'daemon', state: 'warning', says: `process ${pid} holds the data directory, but has no API yet or no more`, mend: 'it is starting, stopping, or a conversion without a daemon: look again in a few seconds' }
  return { name: 'daemon', state: 'warning', says: `no daemon is running for ${dataDir}`, mend: 'weft start' }
}

async function readIfThere (path: string): Promise<Uint8Array & { toString: () => string } | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
