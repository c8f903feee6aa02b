#!/usr/bin/env node
// Plain JavaScript on purpose: it runs under whatever Node the machine has, installs what is missing (the pinned Node
// 24 included) and then starts the script named on the command line with that Node.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const bin = join(root, 'node_modules', '.bin')

/** The lockfile's digest is left in node_modules, so that a changed lockfile installs again and an unchanged one does not. */
function install () {
  const marker = join(root, 'node_modules', '.weft-installed')
  const wanted = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return
  console.error('weft: installing the pinned packages (npm ci) ...')
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, NODE_ENV: '' } })
  if (npm.status !== 0) {
    console.error(`weft: npm ci failed${npm.error != null ? ` (${npm.error.message})` : ''}: npm 10 or newer and a reachable package registry are needed`)
    process.exit(1)
  }
  writeFileSync(marker, wanted)
}

function runtime () {
  const pinned = join(bin, 'node')
  if (existsSync(pinned)) return pinned
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  console.error(`weft: Node 24 is needed and there is no pinned one for ${process.platform}-${process.arch}: install Node 24 and try again`)
  process.exit(1)
}

install()
const args = process.argv.slice(2)
const command = args[0] === '--bin' ? [join(bin, args[1]), ...args.slice(2)] : [join(root, args[0]), ...args.slice(1)]
const child = spawn(runtime(), ['--disable-warning=ExperimentalWarning', ...command], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${bin}:${process.env.PATH}` }
})
// The terminal sends Ctrl-C to the whole group; the child decides what it means.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => { if (signal !== 'SIGINT') child.kill(signal) })
child.on('error', error => {
  console.error(`weft: cannot start ${command[0]}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => { process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)) })
