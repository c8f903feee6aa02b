/** Merges the sources of configuration, remembers where every value came from, and validates the whole. */
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { CONFIG_FILE_BYTES_MAX, PRIVATE_LISTEN, RESERVED_PREFIXES, RESERVED_VARIABLES } from './constants.ts'
import { ConfigError } from './errors.ts'
import { describeIssue } from './issues.ts'
import { decodeJoinString, isJoinString } from './join-string.ts'
import { jsonFaultAt } from './json-fault.ts'
import { resolvePaths } from './paths.ts'
import { configSchema, leaves, peel } from './schema.ts'
import { nearest } from './suggest.ts'
import type { Config, LoadOptions, LoadedConfig, Origin } from './index.ts'

type Tree = Record<string, unknown>

/** @throws ConfigError */
export async function loadConfig ({ flags = {}, env = process.env, configFile }: LoadOptions = {}): Promise<LoadedConfig> {
  const known = leaves()
  const paths = resolvePaths(env)
  const named = configFile ?? (env.WEFT_CONFIG !== '' ? env.WEFT_CONFIG : undefined)
  const merged: Tree = {}
  const origins: Record<string, Origin> = {}
  for (const path of known.keys()) origins[path] = { from: 'default' }

  const file = readConfigFile(named ?? paths.configFile, named != null)
  if (file != null) {
    // On its own first, so that a mistake is reported with the file's name and not with that of another source.
    validateConfig(file.tree, file.path, known)
    for (const [path, value] of flatten(file.tree, known)) put(merged, origins, path, value, { from: 'file', detail: file.path })
  }
  for (const [variable, path] of variables(env, known)) {
    put(merged, origins, path, fromText(env[variable] as string, known.get(path) as z.ZodType), { from: 'env', detail: variable })
  }
  for (const [path, value] of Object.entries(flags)) {
    if (value === undefined) continue
    const schema = known.get(path)
    if (schema == null) throw new ConfigError(`unknown setting '${path}'${suggestion(path, known.keys())}`, { key: path })
    put(merged, origins, path, typeof value === 'string' ? fromText(value, schema) : value, { from: 'flag', detail: flagName(path) })
  }
  joinStrings(merged, origins)
  const config = validate(merged, known, path => {
    const origin = origins[path.replace(/\[\d+\].*$/, '')]
    return origin?.detail ?? file?.path ?? 'the configuration'
  })
  if (config.secret !== '' && origins.listen?.from === 'default') config.listen = [...PRIVATE_LISTEN]
  return { config, origins, dataDir: paths.dataDir, ...(file != null ? { file: file.path } : {}) }
}

/**
 * Validates the content of a configuration file and fills in the defaults.
 *
 * @throws ConfigError naming `where`, the key's path and the nearest known name
 */
export function validateConfig (tree: unknown, where: string, known: Map<string, z.ZodType> = leaves()): Config {
  const own = structuredClone(withoutSchema(tree))
  if (typeof own === 'object' && own !== null && !Array.isArray(own)) joinStrings(own as Tree, {})
  return validate(own, known, () => where)
}

/** Join strings among the bootstrap addresses become what they stand for. @throws ConfigError */
function joinStrings (tree: Tree, origins: Record<string, Origin>): void {
  const { bootstrap } = tree
  if (!Array.isArray(bootstrap)) return
  const addresses: unknown[] = []
  for (const entry of bootstrap as unknown[]) {
    if (typeof entry !== 'string' || !isJoinString(entry)) {
      addresses.push(entry)
      continue
    }
    const join = decodeJoinString(entry)
    addresses.push(...join.addresses)
    for (const [key, value] of [['network', join.network], ['secret', join.secret ?? '']] as const) {
      const present = tree[key]
      if (present != null && present !== '' && present !== value) throw new ConfigError(`the join string is for ${key === 'network' ? `network '${join.network}'` : 'a network with another secret'}, but the configuration says ${key === 'network' ? `'${String(present)}'` : 'otherwise'}: use one of them`, { key })
      if (value === '') continue
      tree[key] = value
      origins[key] = origins.bootstrap ?? { from: 'default' }
    }
  }
  tree.bootstrap = addresses
}

function validate (tree: unknown, known: Map<string, z.ZodType>, where: (path: string) => string): Config {
  const result = configSchema.safeParse(tree)
  if (!result.success) {
    const { path, message, details } = describeIssue(result.error, tree, known.keys())
    const place = where(path)
    throw new ConfigError(`${place}: ${message}`, { ...details, ...(path !== '' ? { key: path } : {}), source: place })
  }
  return dropUndefined(result.data) as Config
}

function withoutSchema (tree: unknown): unknown {
  if (typeof tree !== 'object' || tree === null || !('$schema' in tree)) return tree
  const { $schema: _, ...rest } = tree
  return rest
}

function readConfigFile (path: string, required: boolean): { path: string, tree: Tree } | undefined {
  let text: string
  try {
    const { size } = statSync(path)
    if (size > CONFIG_FILE_BYTES_MAX) throw new ConfigError(`${path}: ${size} bytes is too large for a configuration file`, { file: path })
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if ((code === 'ENOENT' || code === 'ENOTDIR') && !required) return undefined
    const reasons: Record<string, string> = { ENOENT: 'there is no such file', EACCES: 'no permission to read it', EISDIR: 'it is a folder' }
    throw new ConfigError(`cannot read the configuration ${path}: ${reasons[code ?? ''] ?? message}`, { file: path }, { cause: error })
  }
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch (error) {
    const at = jsonFaultAt(text)
    const line = (at < text.length ? text.slice(0, at) : text.trimEnd()).split('\n').length
    const [here] = text.slice(at).split(/\s/, 1)
    const what = here === '' || here == null ? 'the text ends too early' : `${JSON.stringify(here.slice(0, 20))} is not expected here`
    throw new ConfigError(`${path}, line ${line}: not valid JSON: ${what}`, { file: path, line }, { cause: error })
  }
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) throw new ConfigError(`${path}: expected an object in braces`, { file: path })
  return { path, tree: withoutSchema(tree) as Tree }
}

/** Leaves of a valid file, as dotted paths. */
function * flatten (tree: Tree, known: Map<string, z.ZodType>, prefix = ''): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    const path = prefix + key
    if (known.has(path)) yield [path, value]
    else yield * flatten(value as Tree, known, `${path}.`)
  }
}

/** `api.port` is `WEFT_API_PORT`, `executor.memoryBytes` is `WEFT_EXECUTOR_MEMORY_BYTES`. */
export function variableOf (path: string): string {
  return `WEFT_${path.replace(/([A-Z])/g, '_$1').replace(/\./g, '_').toUpperCase()}`
}

function flagName (path: string): string {
  return `--${path.replace(/([A-Z])/g, '-$1').replace(/\./g, '-').toLowerCase()}`
}

function * variables (env: Record<string, string | undefined>, known: Map<string, z.ZodType>): Generator<[string, string]> {
  const byVariable = new Map([...known.keys()].map(path => [variableOf(path), path]))
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith('WEFT_') || env[variable] === undefined || env[variable] === '') continue
    const path = byVariable.get(variable)
    if (path != null) yield [variable, path]
    else if (!RESERVED_VARIABLES.includes(variable) && !RESERVED_PREFIXES.some(prefix => variable.startsWith(prefix))) {
      throw new ConfigError(`unknown variable ${variable}${suggestion(variable, [...byVariable.keys(), ...RESERVED_VARIABLES])}`, { variable })
    }
  }
}

/** Text of a variable or flag as the schema's type; what does not fit stays text, and validation says so. */
function fromText (text: string, schema: z.ZodType): unknown {
  const type = peel(schema)
  if (type instanceof z.ZodArray) return text.split(',').map(part => part.trim()).filter(part => part !== '')
  if (type instanceof z.ZodBoolean) return { true: true, 1: true, yes: true, false: false, 0: false, no: false }[text.toLowerCase()] ?? text
  if (type instanceof z.ZodNumber || type instanceof z.ZodUnion) return /^-?\d+$/.test(text) ? Number(text) : text
  return text
}

function put (tree: Tree, origins: Record<string, Origin>, path: string, value: unknown, origin: Origin): void {
  const keys = path.split('.')
  let at = tree
  for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Tree
  at[keys.at(-1) as string] = value
  origins[path] = origin
}

function dropUndefined (value: unknown): unknown {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined).map(([key, inner]) => [key, dropUndefined(inner)]))
}

function suggestion (name: string, known: Iterable<string>): string {
  const near = nearest(name, known)
  return near == null ? '' : `: did you mean '${near}'?`
}
