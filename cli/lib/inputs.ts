/** From what was typed to whole jobs: which files, and which output each becomes. */
import { glob, mkdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { INPUTS_MAX } from './constants.ts'
import { usage } from './failure.ts'

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
  /** Extension of the target type, without dot. */
  extension: string
  /** Extensions that can be converted, for picking files out of folders; undefined: every file. */
  convertible?: Set<string>
  cwd?: string
}

/** @throws Failure `usage`; `input-unreadable` where nothing is found */
export async function planConversions ({ inputs, out, extension, convertible, cwd = process.cwd() }: PlanOptions): Promise<Conversion[]> {
  if (inputs.includes('-')) return [standardInput(inputs, out, cwd)]
  const files: File[] = []
  for (const input of inputs) files.push(...await expand(input, cwd, convertible))
  if (files.length > INPUTS_MAX) throw usage(`${files.length} files: at most ${INPUTS_MAX} at once`)
  if (out === '-') {
    return [{ inputs: files.map(({ path }) => path), output: '-' }]
  }
  const folder = out == null ? cwd : out.endsWith('/') || out.endsWith(sep) || await isFolder(resolve(cwd, out)) ? resolve(cwd, out) : undefined
  if (folder == null) return [{ inputs: files.map(({ path }) => path), output: resolve(cwd, out as string) }]
  const conversions = files.map(file => ({ inputs: [file.path], output: join(folder, withExtension(file.relative, extension)) }))
  refuseCollisions(conversions)
  return conversions
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
  const wanted = (name: string): boolean => !basename(name).startsWith('.') && (convertible == null || convertible.has(extname(name).slice(1).toLowerCase()))
  if (await isFolder(path)) {
    const found = (await matches('**/*', path)).filter(wanted)
    if (found.length === 0) throw usage(`${input}: no file in this folder can be converted to that type`, { input })
    return found.map(name => ({ path: join(path, name), relative: name }))
  }
  if (!/[*?[\]{}]/.test(input) || await exists(path)) return [{ path, relative: basename(path) }]
  const base = staticBase(isAbsolute(input) ? input : join(cwd, input))
  const found = (await matches(relative(base, resolve(cwd, input)), base)).filter(name => !basename(name).startsWith('.'))
  if (found.length === 0) throw usage(`${input}: no file matches this pattern`, { input })
  return found.map(name => ({ path: join(base, name), relative: name }))
}

/** Files only, in the order of their names, so that the same command always means the same. */
async function matches (pattern: string, cwd: string): Promise<string[]> {
  const found: string[] = []
  for await (const entry of glob(pattern, { cwd, withFileTypes: true })) {
    if (!entry.isFile()) continue
    found.push(relative(cwd, join(entry.parentPath, entry.name)))
    if (found.length > INPUTS_MAX) throw usage(`${pattern}: more than ${INPUTS_MAX} files match`)
  }
  return found.toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0)
}

/** The folders of a pattern before its first special character. */
function staticBase (pattern: string): string {
  const parts = pattern.split('/')
  const first = parts.findIndex(part => /[*?[\]{}]/.test(part))
  return parts.slice(0, first).join('/') || '/'
}

function withExtension (path: string, extension: string): string {
  return path.slice(0, path.length - extname(path).length) + `.${extension}`
}

function refuseCollisions (conversions: Conversion[]): void {
  const taken = new Map<string, string>()
  const sources = new Set(conversions.flatMap(({ inputs }) => inputs))
  for (const { inputs: [input = ''], output } of conversions) {
    const other = taken.get(output)
    if (other != null) throw usage(`${other} and ${input} would both become ${output}: convert them one by one with different -o`, { output, inputs: [other, input] })
    if (sources.has(output)) throw usage(`${output} is an input and would be written over: choose another folder with -o`, { output })
    taken.set(output, input)
  }
}

async function isFolder (path: string): Promise<boolean> {
  return await stat(path).then(found => found.isDirectory(), () => false)
}

async function exists (path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
