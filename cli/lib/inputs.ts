/** From what was typed to whole jobs: which files, and which output each becomes. */
import { glob, mkdir, readdir, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { INPUTS_MAX, LOOKS_AT_ONCE } from './constants.ts'
import { Failure, usage } from './failure.ts'
import { outputName, partsOf, type TargetName } from './names.ts'

/** One output and what goes into it. Paths are absolute. `-` stands for standard input and output. */
export interface Conversion {
  inputs: string[]
  output: string
}

interface File {
  path: string
  /** What is kept below the output folder. */
  relative: string
}

export interface PlanOptions {
  inputs: string[]
  /** `-o`; undefined: beside nothing, in the current folder, under the inputs' names. */
  out?: string
  target: TargetName
  /** Extensions that can be converted, for picking files out of folders; undefined: every file. */
  convertible?: Set<string>
  /** The output is a folder of its own, divided by values: one for all inputs. */
  divided?: boolean
  cwd?: string
}

/** @throws Failure `usage`; `input-unreadable` where a folder cannot be read */
export async function planConversions ({ inputs, out, target, convertible, divided = false, cwd = process.cwd() }: PlanOptions): Promise<Conversion[]> {
  if (inputs.includes('-')) return [standardInput(inputs, out, cwd)]
  const files: File[] = []
  for (const input of inputs) files.push(...await expand(input, cwd, convertible))
  if (files.length > INPUTS_MAX) throw usage(`${files.length} files: at most ${INPUTS_MAX} at once; convert them in several commands`)
  const all = files.map(({ path }) => path)
  if (out === '-') return [{ inputs: all, output: '-' }]
  if (divided) return await checked([{ inputs: all, output: resolve(cwd, out ?? folderName(all)) }])
  const folder = out == null ? cwd : out.endsWith('/') || out.endsWith(sep) || await isFolder(resolve(cwd, out)) ? resolve(cwd, out) : undefined
  if (folder == null) return await checked([{ inputs: all, output: resolve(cwd, out as string) }])
  return await checked(files.map(file => ({ inputs: [file.path], output: join(folder, outputName(file.relative, target)) })))
}

/** What a divided output is called where nobody says: as its only input, without an extension. */
function folderName (paths: string[]): string {
  if (paths.length > 1) throw usage('an output divided by partition_by is one folder for all inputs: say where with -o FOLDER')
  return partsOf(paths[0] as string).stem
}

/** Folders of outputs that keep relative paths. */
export async function makeFolders (conversions: Conversion[]): Promise<void> {
  for (const folder of new Set(conversions.filter(({ output }) => output !== '-').map(({ output }) => dirname(output)))) {
    await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      throw usage(`cannot make the folder ${folder}: ${error.code ?? error.message}; choose another with -o`, { folder })
    })
  }
}

function standardInput (inputs: string[], out: string | undefined, cwd: string): Conversion {
  if (inputs.length > 1) throw usage('standard input (-) cannot be mixed with other inputs')
  if (out == null || out.endsWith('/')) throw usage('standard input has no name: say where the output goes with -o FILE, or -o - for standard output')
  return { inputs: ['-'], output: out === '-' ? '-' : resolve(cwd, out) }
}

async function expand (input: string, cwd: string, convertible: Set<string> | undefined): Promise<File[]> {
  const path = resolve(cwd, input)
  if (await isFolder(path)) {
    const found = (await filesBelow(path, input)).filter(name => isConvertible(name, convertible))
    if (found.length === 0) throw usage(`${input}: no file in this folder can be converted to that type`, { input })
    return found.map(name => ({ path: join(path, name), relative: name }))
  }
  if (!/[*?[\]{}]/.test(input) || await exists(path)) return [{ path, relative: basename(path) }]
  const base = staticBase(isAbsolute(input) ? input : join(cwd, input))
  const found = (await matches(relative(base, resolve(cwd, input)), base)).filter(name => !basename(name).startsWith('.'))
  if (found.length === 0) throw usage(`${input}: no file matches this pattern`, { input })
  return found.map(name => ({ path: join(base, name), relative: name }))
}

/** By its own extension, or by that in front of a compression's. */
function isConvertible (name: string, convertible: Set<string> | undefined): boolean {
  if (convertible == null) return true
  const { extension, compression } = partsOf(name)
  return convertible.has(extension) || (compression !== '' && convertible.has(compression))
}

/** All files of a folder and those below it, hidden ones left out, in the order of their names. Links to files are followed, to folders not. */
async function filesBelow (root: string, input: string): Promise<string[]> {
  const found: string[] = []
  const folders = ['']
  for (let below = folders.pop(); below != null; below = folders.pop()) {
    const entries = await readdir(join(root, below), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      throw new Failure('input-unreadable', `cannot read the folder '${join(input, below)}': ${error.code === 'EACCES' ? 'permission denied' : error.code ?? error.message}; convert its files by name, or make it readable`, { path: join(root, below) }, { cause: error })
    })
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue
      const name = join(below, entry.name)
      if (entry.isDirectory()) folders.push(name)
      else if (entry.isFile() || (entry.isSymbolicLink() && await isFile(join(root, name)))) found.push(name)
    }
    if (found.length > INPUTS_MAX) throw usage(`${input}: more than ${INPUTS_MAX} files in this folder; convert its parts one by one`)
  }
  return found.toSorted(byName)
}

/** Files only, in the order of their names, so that the same command always means the same. */
async function matches (pattern: string, cwd: string): Promise<string[]> {
  const found: string[] = []
  for await (const entry of glob(pattern, { cwd, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isFile() && !(entry.isSymbolicLink() && await isFile(path))) continue
    found.push(relative(cwd, path))
    if (found.length > INPUTS_MAX) throw usage(`${pattern}: more than ${INPUTS_MAX} files match`)
  }
  return found.toSorted(byName)
}

const byName = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** The folders of a pattern before its first special character. */
function staticBase (pattern: string): string {
  const parts = pattern.split('/')
  const first = parts.findIndex(part => /[*?[\]{}]/.test(part))
  return parts.slice(0, first).join('/') || '/'
}

/** Two inputs must not become one output, and no output may be an input, by whatever name. */
async function checked (conversions: Conversion[]): Promise<Conversion[]> {
  const taken = new Map<string, string>()
  for (const { inputs: [input = ''], output } of conversions) {
    const other = taken.get(output)
    if (other != null) throw usage(`${other} and ${input} would both become ${output}: convert them one by one with different -o`, { output, inputs: [other, input] })
    taken.set(output, input)
  }
  const existing = await identities([...taken.keys()])
  if (existing.size === 0) return conversions
  const sources = await identities(conversions.flatMap(({ inputs }) => inputs))
  const byIdentity = new Map(Array.from(sources, ([path, identity]) => [identity, path]))
  for (const [output, identity] of existing) {
    const input = byIdentity.get(identity)
    if (input === output) throw usage(`${output} is an input and would be written over: choose another name or folder with -o`, { output })
    if (input != null) throw usage(`${output} is the input ${input} by another name (a link) and would be written over: choose another name with -o`, { output, input })
  }
  return conversions
}

/** Device and inode of those files that exist: the same for all names of a file. */
async function identities (paths: string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (let at = 0; at < paths.length; at += LOOKS_AT_ONCE) {
    await Promise.all(paths.slice(at, at + LOOKS_AT_ONCE).map(async path => {
      const info = await stat(path, { bigint: true }).catch(() => undefined /* what cannot be looked at is told where it is opened */)
      if (info != null) found.set(path, `${info.dev}:${info.ino}`)
    }))
  }
  return found
}

async function isFolder (path: string): Promise<boolean> {
  return await stat(path).then(found => found.isDirectory(), () => false)
}

async function isFile (path: string): Promise<boolean> {
  return await stat(path).then(found => found.isFile(), () => false)
}

async function exists (path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
