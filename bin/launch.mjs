// Plain JavaScript on purpose: it runs under whatever Node the machine has. Under one that cannot run weft it starts the
// pinned Node of node_modules in its place, and is then as good as absent: streams, signals and exit code pass through.
import { spawn } from 'node:child_process'
import { accessSync, constants as modes, existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

// Types are stripped without a flag from 22.18 on; 24 is what is tested.
const [major, minor] = process.versions.node.split('.').map(Number)
const able = major >= 24 || (major === 22 && minor >= 18)

/** Runs the command line; `verb`, if given, is put before the arguments. */
export async function launch (verb) {
  // The Node started in our place runs the same file and puts the verb there itself.
  if (!able) return respawn()
  if (verb != null) process.argv.splice(2, 0, verb)
  await run()
}

async function run () {
  // Set by the Node that started this one in its place: when that is gone, so is the one who could signal us.
  if (process.connected) {
    process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
    process.channel.unref()
  }
  const { enableCompileCache } = await import('node:module')
  const cache = cacheDir()
  // Halves the start; fails silently where the folder cannot be written.
  if (process.env.NODE_COMPILE_CACHE == null && cache != null) enableCompileCache(cache)
  const { main } = await import('../cli/main.ts')
  await main(process.argv)
}

/**
 * Beside the modules it is made from, where all data directories share it; per user where those belong to somebody else.
 * Never makes the data directory: that is for `init` and `start`, with its permissions.
 */
function cacheDir () {
  const modules = join(root, 'node_modules')
  try {
    accessSync(modules, modes.W_OK)
    return join(modules, '.cache', 'weft', 'compile')
  } catch {
    // Installed by somebody else, read-only: the user's own cache.
  }
  const { WEFT_HOME: home, XDG_CACHE_HOME: xdg, HOME: user } = process.env
  if (home != null && home !== '') return existsSync(home) ? join(home, 'cache', 'compile') : undefined
  if (xdg != null && isAbsolute(xdg)) return join(xdg, 'weft', 'compile')
  return user == null ? undefined : join(user, '.cache', 'weft', 'compile')
}

function respawn () {
  const pinned = join(root, 'node_modules', '.bin', 'node')
  if (!existsSync(pinned)) {
    const installed = existsSync(join(root, 'node_modules'))
    console.error(`weft: needs Node 24, this is ${process.versions.node}: ${installed ? 'install Node 24 (there is no pinned one for this system)' : `run 'npm ci' in ${root}, which brings it along`}`)
    process.exitCode = 1
    return
  }
  // A session of its own, so that Ctrl-C reaches the child once, through us, and not a second time from the terminal.
  const child = spawn(pinned, process.argv.slice(1), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], detached: true })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH', 'SIGCONT']
  const pass = signal => { child.kill(signal) }
  const suspend = () => {
    child.kill('SIGSTOP')
    process.kill(process.pid, 'SIGSTOP')
  }
  for (const signal of signals) process.on(signal, pass)
  process.on('SIGTSTP', suspend)
  child.once('error', error => {
    console.error(`weft: cannot start ${pinned}: ${error.message}`)
    process.exit(1)
  })
  child.once('exit', (code, signal) => {
    if (signal != null) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0))
  })
}
