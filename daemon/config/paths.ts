/** The folders of a node, from the environment. Light on purpose: every verb of the command line needs it. */
import { isAbsolute, join, resolve } from 'node:path'
import envPaths from 'env-paths'
import type { Paths } from './index.ts'

/** The XDG specification: a relative path is invalid and is ignored. */
const folder = (value: string | undefined, otherwise: string): string => value != null && isAbsolute(value) ? join(value, 'weft') : otherwise

/**
 * `WEFT_HOME` puts everything in one folder; otherwise the XDG folders, and where those are not set the ones usual on
 * this system.
 */
export function resolvePaths (env: Record<string, string | undefined> = process.env): Paths {
  const home = env.WEFT_HOME
  if (home != null && home !== '') {
    const dataDir = resolve(home)
    return { dataDir, configFile: join(dataDir, 'config.json'), cacheDir: join(dataDir, 'cache') }
  }
  const usual = envPaths('weft', { suffix: '' })
  return {
    dataDir: folder(env.XDG_DATA_HOME, usual.data),
    configFile: join(folder(env.XDG_CONFIG_HOME, usual.config), 'config.json'),
    cacheDir: folder(env.XDG_CACHE_HOME, usual.cache)
  }
}
