/** Runs `bin/weft` as a user would, with a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '..', '..', '..')
export const weft = join(root, 'bin', 'weft')

export interface Said { code: number | null, signal: NodeJS.Signals | null, stdout: string, stderr: string }

export interface Running { child: ChildProcess, ended: Promise<Said>, stderr: () => string }

/** Everything that may take the program elsewhere than to its folder is left out. */
export function environment (home: string, extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(WEFT_|XDG_|NO_COLOR|FORCE_COLOR)/.test(name)))
  // One cache for all, or each of many short runs would strip every type again.
  return { NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'weft-test-compile'), ...kept, WEFT_EXECUTOR_SELF_MEASURE: 'off', WEFT_HOME: home, ...extra }
}

export class User {
  readonly home: string
  readonly folder: string
  readonly #started = new Set<ChildProcess>()

  private constructor (folder: string) {
    this.folder = folder
    this.home = join(folder, 'home')
  }

  static async make (): Promise<User> {
    return new User(await mkdtemp(join(tmpdir(), 'weft-cli-')))
  }

  start (args: string[], { env = {}, program = process.execPath, script = weft }: { env?: Record<string, string>, program?: string, script?: string } = {}): Running {
    const child = spawn(program, [script, ...args], { cwd: this.folder, env: environment(this.home, env), stdio: ['pipe', 'pipe', 'pipe'] })
    this.#started.add(child)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString() })
    // A program that ends before it read its input closes the pipe: its exit code tells.
    child.stdin.on('error', () => {})
    const ended = once(child, 'close').then(([code, signal]) => {
      this.#started.delete(child)
      return { code: code as number | null, signal: signal as NodeJS.Signals | null, stdout, stderr }
    })
    return { child, ended, stderr: () => stderr }
  }

  async run (args: string[], options: { input?: string | Uint8Array, env?: Record<string, string> } = {}): Promise<Said> {
    const { child, ended } = this.start(args, options)
    child.stdin?.end(options.input)
    return await ended
  }

  /** A daemon, once it has said that it is ready. */
  async daemon (args: string[] = []): Promise<Running> {
    const running = this.start(['start', ...args])
    await said(running, /weft: ready/)
    return running
  }

  async remove (): Promise<void> {
    for (const child of this.#started) {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Resolves once standard error has matched; rejects if the program ends without. */
export async function said ({ child, ended, stderr }: Running, words: RegExp): Promise<void> {
  const seen = new Promise<void>(resolve => {
    const look = (): void => {
      if (!words.test(stderr())) return
      child.stderr?.off('data', look)
      resolve()
    }
    child.stderr?.on('data', look)
    look()
  })
  await Promise.race([seen, ended.then(({ code, stderr: all }) => {
    if (!words.test(all)) throw new Error(`ended with ${code ?? 'a signal'} before it said ${String(words)}:\n${all}`)
  })])
}
