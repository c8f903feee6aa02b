import { open, readFile, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { openDataDir, type DataDir } from '../daemon/store/index.ts'
import { exportKey, importOperatorKey, rotateNodeKey, showKeys, type IdentityDir, type Replaced } from '../daemon/trust/index.ts'
import { Failure, usage } from './lib/failure.ts'
import { fields, print, printJson, tell } from './lib/terminal.ts'

/** Bytes read of a file that is said to hold a key; more is none. */
const KEY_FILE_READ_MAX = 64 * 1024

interface ExportOptions { operator?: boolean, out?: string, json?: boolean }
interface ImportOptions { operator?: boolean, json?: boolean }

export function configure (command: Command): void {
  command.addHelpText('after', `
A node has two keys. Its own makes its peer id. Its operator's stands for you: it
signs a statement that the node acts for you, and what others think of your nodes
(trust, findings, bans by did:key) is kept under it.
  rotate    replaces the node's key; the operator key stays, and your standing
  export    takes a key out, for a backup; the operator's also for a second machine:
              weft key export --operator --out me.key     on the first
              weft key import me.key --operator           on the second
The operator key itself is not rotated: a new one would be somebody new.`)
  command.command('show', { isDefault: true }).description('peer id, operator, and how long the one acts for the other').option('--json', 'print JSON').action(show)
  command.command('export').description('write a private key to a file (0600), or to a pipe').option('--operator', 'the operator\'s key (default: the node\'s)').option('--out <file>', 'the file; never one that exists').option('--json', 'print JSON').action(exportTo)
  command.command('rotate').description('a new key for this node, for the same operator; its daemon must be stopped').option('--json', 'print JSON').action(rotate)
  command.command('import').description('act for the operator of another machine; this one\'s daemon must be stopped').argument('<file>', 'what \'weft key export --operator\' wrote there').option('--operator', 'it is an operator\'s key; nothing else can be imported').option('--json', 'print JSON').action(importFrom)
}

/** The directory as it lies there: a running daemon holds the lock, and looking needs none. */
function unlocked (path: string): IdentityDir {
  return {
    path,
    readFile: async name => await readFile(join(path, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw new Failure('data-dir', `cannot read ${join(path, name)}: ${error.code === 'EACCES' ? 'no permission; run this as the user of the daemon' : error.message}`, { path }, { cause: error })
    }),
    writeSecret: async () => { throw new Failure('failed', 'the data directory is not open for writing') }
  }
}

/** The directory of a stopped daemon: nobody starts one while it is held. */
async function locked<T> (change: (dir: DataDir) => Promise<T>): Promise<T> {
  const { dataDir } = resolvePaths()
  // Opening would make it: whoever has no keys yet gets to hear that, and no empty folder.
  await showKeys(unlocked(dataDir))
  await using dir = await openDataDir(dataDir)
  return await change(dir)
}

async function show ({ json = false }: { json?: boolean }): Promise<void> {
  const keys = await showKeys(unlocked(resolvePaths().dataDir))
  if (json) return printJson(keys)
  const until = keys.delegation == null ? 'made at the next start' : `until ${new Date(keys.delegation.expires).toISOString()}, renewed at a start when half of its time is over`
  print(fields([
    ['peer id', keys.peerId], ['node', keys.did], ['operator', keys.operator], ['delegation', until],
    ['node key', keys.files.nodeKey], ['operator key', keys.files.operatorKey], ['statement', keys.files.delegation]
  ]))
  if (keys.testNetwork != null) tell(`These keys were derived from a seed for the test network ${keys.testNetwork}: anybody can have them.`)
}

async function exportTo ({ operator = false, out, json = false }: ExportOptions): Promise<void> {
  const which = operator ? 'operator' : 'node'
  if (out == null && process.stdout.isTTY) throw usage('a private key is not printed to a terminal, where it would stay to be read: name a file with --out', { option: '--out' })
  if (out == null && json) throw usage('--json goes with --out FILE: without it the key itself is written', { option: '--json' })
  const { pem, subject } = await exportKey(unlocked(resolvePaths().dataDir), which)
  const power = operator
    ? 'Whoever has it can run nodes in your name, and what they do counts as yours; it cannot be called back. Keep it as you keep a password.'
    : 'Whoever has it can pose as this node, on every network it is on, for as long as the operator\'s statement holds. Run it on one machine only.'
  if (out == null) {
    process.stdout.write(pem)
  } else {
    await writeNew(resolve(out), pem)
    if (json) printJson({ key: which, subject, file: resolve(out) })
    else print(resolve(out))
  }
  tell(`The ${which} key of ${subject}. ${power}`)
}

/** Never over a file that is there, nor through a link; what could not be finished is removed. */
async function writeNew (path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw new Failure('output-exists', `${path} exists: a key is never written over something else; name another file with --out`, { path })
    throw unwritable(path, error)
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await rm(path)
    throw unwritable(path, error as NodeJS.ErrnoException)
  } finally {
    await file.close()
  }
}

function unwritable (path: string, error: NodeJS.ErrnoException): Failure {
  const reason = error.code === 'ENOENT' ? 'its folder does not exist' : error.code === 'EACCES' ? 'no permission' : error.message
  return new Failure('output-unwritable', `cannot write ${path}: ${reason}`, { path }, { cause: error })
}

async function rotate ({ json = false }: { json?: boolean }): Promise<void> {
  const replaced = await locked(async dir => await rotateNodeKey(dir))
  if (json) return printJson(told(replaced))
  print(fields([['peer id', replaced.now], ['before', replaced.before], ['acts until', new Date(replaced.expires).toISOString()], ['old key', replaced.kept]]))
  tell('The operator is the same, so is what others think of it. Addresses and join strings with the old peer id lead nowhere now: print a new one with \'weft invite\'.')
  tell('The old key is kept, since only it proves that what the old peer id earned or owes is yours; remove it when nothing is open. Its statement still holds: if somebody else may have the key, have the old peer id banned (weft peers ban).')
}

async function importFrom (file: string, { operator = false, json = false }: ImportOptions): Promise<void> {
  if (!operator) throw usage('only an operator\'s key can be imported: add --operator. A node key stays on one machine; two nodes of one peer id would cut each other off', { option: '--operator' })
  const exported = await readKeyFile(file)
  const replaced = await locked(async dir => await importOperatorKey(dir, exported)).catch((error: Error & { code?: string }) => {
    throw error.code === 'not-a-key' ? new Failure('identity', `${file}: ${error.message}`, { path: file }, { cause: error }) : error
  })
  if (json) printJson(told(replaced))
  else print(fields([['operator', replaced.now], ['before', replaced.before], ['acts until', new Date(replaced.expires).toISOString()], ['old key', replaced.kept]]))
  tell(`${file} is still there: remove it, or keep it where you keep passwords.`)
}

async function readKeyFile (file: string): Promise<Uint8Array> {
  try {
    const { mode, size } = await stat(file)
    if (size > KEY_FILE_READ_MAX) throw new Failure('identity', `${file} holds no key: it has ${size} bytes`, { path: file })
    if ((mode & 0o077) !== 0) tell(`weft: ${file} is open to other users of this machine (mode ${(mode & 0o777).toString(8)}): whoever read it has the key`)
    return await readFile(file)
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure('usage', `cannot read ${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it does not exist' : (error as Error).message}`, { path: file }, { cause: error })
  }
}

const told = ({ before, now, kept, expires }: Replaced): Record<string, unknown> => ({ before, now, oldKey: kept, delegation: { expires } })
