/**
 * How engine processes are shut in: rlimits by `prlimit` (by `ulimit` where that is missing), and `bwrap` where it is
 * present and works. Inside bwrap a process sees the system's programs and libraries, Node, this program's code and its
 * packages, all read-only; of the machine's data only its own folder. It has no network, no other processes, an
 * environment of its own, no capabilities, and dies with the daemon.
 *
 * A process's folder holds the one block it works on: the input is linked into it, the output moved out of it, so one
 * engine never sees the blocks of another, nor those it had before.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants, existsSync, lstatSync, readlinkSync } from 'node:fs'
import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { DATA_HEADROOM_BYTES, OPEN_FILES_MAX, SANDBOX_FOLDER, START_TIMEOUT_MS } from './constants.ts'
import { IsolationError } from './errors.ts'
import { lastLine } from './verdict.ts'

/** Absolute paths of the programs that isolate; absent ones are undefined. */
export interface Isolation {
  bwrap?: string
  prlimit?: string
  /** Ends a process when the daemon dies, where bwrap does not. */
  setpriv?: string
  /** Lets engines stand back behind other processes, by so much. */
  nice?: { file: string, by: number }
}

/** Limits that hold for a process as long as it lives. */
export interface ProcessLimits {
  memoryBytes: number
  outputBytes: number
}

export interface Launch {
  file: string
  args: string[]
  env: Record<string, string>
  /** The process's folder as it sees it. */
  folder: string
}

/** The command that runs Node with `nodeArgs` inside the isolation; `folder` is the process's own, writable one. */
export function launch (isolation: Isolation, limits: ProcessLimits, folder: string, nodeArgs: string[]): Launch {
  const inside = isolation.bwrap == null ? folder : SANDBOX_FOLDER
  // JavaScript's own heap, apart from what native engines take: it fails with a message before the watchdog has to kill.
  const heap = `--max-old-space-size=${Math.max(64, Math.floor(limits.memoryBytes / 2 ** 20 * 0.75))}`
  let command = [process.execPath, heap, ...nodeArgs]
  if (isolation.bwrap != null) command = [isolation.bwrap, ...mounts(folder), '--', ...command]
  command = [...rlimits(isolation, limits), ...command]
  if (isolation.bwrap == null && isolation.setpriv != null) command = [isolation.setpriv, '--pdeathsig', 'KILL', '--', ...command]
  // Before anything is started by it: niceness is inherited, and set for one thread at a time.
  if (isolation.nice != null) command = [isolation.nice.file, '-n', String(isolation.nice.by), ...command]
  const [file = process.execPath, ...args] = command
  return { file, args, env: environment(inside), folder: inside }
}

function rlimits (isolation: Isolation, limits: ProcessLimits): string[] {
  const data = limits.memoryBytes + DATA_HEADROOM_BYTES
  if (isolation.prlimit != null) {
    return [isolation.prlimit, '--core=0', `--fsize=${limits.outputBytes}`, `--data=${data}`, `--nofile=${OPEN_FILES_MAX}`, '--']
  }
  // POSIX counts files in blocks of 512 bytes, every shell counts data in KiB.
  const script = `ulimit -c 0; ulimit -f ${Math.ceil(limits.outputBytes / 512)}; ulimit -d ${Math.ceil(data / 1024)}; ulimit -n ${OPEN_FILES_MAX}; exec "$@"`
  return ['/bin/sh', '-c', script, 'sh']
}

/** Nothing of the daemon's environment gets through, save the switch for the converters of tests. */
function environment (folder: string): Record<string, string> {
  return {
    PATH: '/usr/bin:/bin',
    HOME: folder,
    TMPDIR: folder,
    // Results must not depend on where a worker stands.
    TZ: 'UTC',
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    ...compileCache(),
    ...(process.env['WEFT_TEST_CONVERTERS'] === '1' ? { WEFT_TEST_CONVERTERS: '1' } : {})
  }
}

/**
 * The daemon's cache of compiled modules, if it keeps one: importing the converters took 30 instead of 130 ms with it. Sandboxed ones read
 * it only, so what one engine does to itself never becomes code of the next.
 */
function compileCache (): { NODE_COMPILE_CACHE?: string } {
  const folder = getCompileCacheDir()
  // Node appends its version and platform to the folder it is given.
  return folder == null ? {} : { NODE_COMPILE_CACHE: dirname(folder) }
}

const SYSTEM_FOLDERS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/nix/store', '/gnu/store']
const SYSTEM_FILES = ['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d']

function mounts (folder: string): string[] {
  const args = ['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--hostname', 'engine']
  for (const path of SYSTEM_FOLDERS) {
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found?.isSymbolicLink() === true) args.push('--symlink', readlinkSync(path), path)
    else if (found?.isDirectory() === true) args.push('--ro-bind', path, path)
  }
  for (const path of SYSTEM_FILES) args.push('--ro-bind-try', path, path)
  for (const path of codeFolders()) args.push('--ro-bind', path, path)
  const { NODE_COMPILE_CACHE: cache } = compileCache()
  if (cache != null) args.push('--ro-bind-try', cache, cache)
  args.push('--proc', '/proc', '--dev', '/dev', '--bind', folder, SANDBOX_FOLDER, '--chdir', SANDBOX_FOLDER)
  // The root and /dev are memory file systems that no limit counts: nothing may be written there.
  args.push('--remount-ro', '/dev', '--remount-ro', '/')
  return args
}

/** Node, this program's code, and the packages found from it. Nothing else of the folders they lie in. */
function codeFolders (): string[] {
  const code = dirname(import.meta.dirname)
  const paths: string[] = []
  let description: string | undefined
  for (let folder = dirname(code); ; folder = dirname(folder)) {
    const packages = join(folder, 'node_modules')
    if (existsSync(packages)) paths.unshift(packages)
    // Node asks the nearest one whether files are modules.
    if (description == null && existsSync(join(folder, 'package.json'))) description = join(folder, 'package.json')
    if (folder === dirname(folder)) break
  }
  return [...paths, ...(description == null ? [] : [description]), code, process.execPath]
}

/**
 * What isolates on this machine: each program is tried, not only looked for. Throws IsolationError if `require`d
 * isolation is missing or does not work, saying why.
 */
export async function detectIsolation (sandbox: 'auto' | 'require' | 'off', limits: ProcessLimits, folder: string, niceness = 0): Promise<Isolation> {
  // Engine processes load what the daemon has loaded.
  flushCompileCache()
  const isolation: Isolation = {}
  const nice = niceness > 0 ? findProgram('nice') : undefined
  if (nice != null) isolation.nice = { file: nice, by: niceness }
  const prlimit = findProgram('prlimit')
  if (prlimit != null && await failure({ ...isolation, prlimit }, limits, folder) == null) isolation.prlimit = prlimit
  const setpriv = findProgram('setpriv')
  if (setpriv != null && await failure({ ...isolation, setpriv }, limits, folder) == null) isolation.setpriv = setpriv
  if (sandbox === 'off') return isolation
  const bwrap = findProgram('bwrap')
  const why = bwrap == null ? 'bwrap is not installed' : await failure({ ...isolation, bwrap }, limits, folder)
  if (bwrap != null && why == null) return { ...isolation, bwrap }
  if (sandbox === 'require') {
    throw new IsolationError(`engines cannot be sandboxed: ${why ?? 'unknown'}; install bubblewrap and allow user namespaces, or set the sandbox to 'auto'`)
  }
  return isolation
}

/** Why Node does not start in this isolation, or undefined if it does. */
async function failure (isolation: Isolation, limits: ProcessLimits, folder: string): Promise<string | undefined> {
  const { file, args, env } = launch(isolation, limits, folder, ['--version'])
  try {
    const { stdout } = await promisify(execFile)(file, args, { env, cwd: folder, timeout: START_TIMEOUT_MS, killSignal: 'SIGKILL' })
    return stdout.trim() === process.version ? undefined : `it starts Node ${stdout.trim()} instead of ${process.version}`
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    return lastLine(stderr ?? '') || message
  }
}

/** The absolute path of a program, or undefined if there is none. */
export function findProgram (name: string): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    if (!folder.startsWith('/')) continue
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // Not in this folder (or not ours to run): the next one may have it.
    }
  }
  return undefined
}
