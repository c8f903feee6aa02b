/** Writing single values to the configuration file, as `weft config set` does. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { validateConfig } from '../../daemon/config/index.ts'
import { usage } from './failure.ts'

/**
 * Sets values by dotted path; the rest of the file stays, and nothing is written unless all of it is valid. A file that is not there is made.
 *
 * @throws ConfigError, Failure `usage` where the file is not JSON
 */
export async function writeConfigValues (path: string, values: Record<string, unknown>): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}'
    throw error
  })
  const tree = parse(text, path)
  for (const [key, value] of Object.entries(values)) {
    const keys = key.split('.')
    let at = tree
    for (const part of keys.slice(0, -1)) at = (at[part] ??= {}) as Record<string, unknown>
    at[keys.at(-1) as string] = value
  }
  validateConfig(tree, path)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeFile(`${path}.new`, `${JSON.stringify(tree, null, 2)}\n`, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** The parser's own message quotes the text, which may hold the secret. */
function parse (text: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw usage(`${path} is not valid JSON; mend it first`)
  }
}
