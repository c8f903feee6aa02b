import type { Command } from 'commander'
import { configJsonSchema, loadConfig, resolvePaths, type LoadedConfig } from '../daemon/config/index.ts'
import { SECRET_KEYS, withoutSecrets } from '../daemon/config/issues.ts'
import { nearest } from '../daemon/config/suggest.ts'
import { writeConfigValues } from './lib/config-file.ts'
import { usage } from './lib/failure.ts'
import { print, printJson, table, tell } from './lib/terminal.ts'

interface Options { config?: string, origin?: boolean, json?: boolean }

export function configure (command: Command): void {
  command.command('show', { isDefault: true }).description('the configuration in force').option('--origin', 'and where every value comes from').option('--config <file>', 'configuration file').option('--json', 'print JSON').action(show)
  command.command('get').description('one value').argument('<key>', 'like api.port').option('--config <file>', 'configuration file').option('--json', 'print JSON').action(get)
  command.command('set').description('write one value to the configuration file').argument('<key>', 'like api.port').argument('<value>', 'text, or JSON for lists').option('--config <file>', 'configuration file').action(set)
  command.command('validate').description('check a configuration file, or the configuration in force').argument('[file]').option('--json', 'print JSON').action(validate)
  command.command('schema').description('the JSON schema of the configuration').action(() => { print(JSON.stringify(configJsonSchema(), null, 2)) })
}

const load = async (file: string | undefined): Promise<LoadedConfig> => await loadConfig(file != null ? { configFile: file } : {})

async function show ({ config: file, origin = false, json = false }: Options): Promise<void> {
  const loaded = await load(file)
  // Shown to whoever looks over the shoulder, and pasted into bug reports.
  for (const key of SECRET_KEYS) if (loaded.config[key] !== '') loaded.config[key] = `(set; weft config get ${key} prints it)`
  if (json) return printJson(origin ? { config: loaded.config, origins: loaded.origins } : loaded.config)
  if (!origin) return print(JSON.stringify(loaded.config, null, 2))
  print(table(['KEY', 'VALUE', 'FROM'], Object.entries(loaded.origins).map(([key, { from, detail }]) => [key, shown(valueAt(loaded, key)), detail == null ? from : `${from} ${detail}`])))
}

async function get (key: string, { config: file, json = false }: Options): Promise<void> {
  const loaded = await load(file)
  if (!(key in loaded.origins)) throw unknownKey(key, loaded)
  const value = valueAt(loaded, key)
  if (json) printJson({ [key]: value ?? 'auto' })
  else print(shown(value))
}

async function set (key: string, text: string, { config: file }: Options): Promise<void> {
  const path = file ?? resolvePaths().configFile
  const known = await loadConfig({ env: { WEFT_HOME: '/nonexistent' } })
  if (!(key in known.origins)) throw unknownKey(key, known)
  await writeConfigValues(path, { [key]: fromText(text, valueAt(known, key), key) })
  tell(`weft: ${key} is ${shown(withoutSecrets(key, fromText(text, valueAt(known, key), key)))} in ${path}; a running daemon takes it at its next start`)
}

async function validate (file: string | undefined, { json = false }: Options): Promise<void> {
  const loaded = await load(file)
  if (json) printJson({ valid: true, ...(loaded.file != null ? { file: loaded.file } : {}) })
  else tell(`weft: ${loaded.file ?? 'the configuration'} is valid`)
}

/** What was typed, as the type of the default. */
function fromText (text: string, example: unknown, key: string): unknown {
  if (Array.isArray(example)) return text.startsWith('[') ? fromJson(text, `the value of ${key}`) : text.split(',').map(part => part.trim()).filter(part => part !== '')
  if (typeof example === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (typeof example === 'number' || example === undefined) return /^\d+$/.test(text) ? Number(text) : text
  return text
}

/** The parser's own message quotes the text, which may hold the secret. */
function fromJson (text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw usage(`${what} is not valid JSON; mend it first`)
  }
}

function valueAt ({ config }: { config: unknown }, key: string): unknown {
  return key.split('.').reduce((at, part) => (at as Record<string, unknown> | undefined)?.[part], config)
}

/** Values that a part of the daemon decides itself are `auto`. */
const shown = (value: unknown): string => value === undefined ? 'auto' : typeof value === 'string' && value !== '' ? value : JSON.stringify(value)

function unknownKey (key: string, { origins }: Pick<LoadedConfig, 'origins'>): Error {
  const near = nearest(key, Object.keys(origins))
  return usage(`unknown key '${key}'${near == null ? ': see weft config show --origin' : `: did you mean '${near}'?`}`, { key })
}
