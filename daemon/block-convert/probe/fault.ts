/**
 * A converter that goes wrong on demand, in every way an engine can. Only for tests: it is listed when the environment
 * variable WEFT_TEST_CONVERTERS is 1.
 */
import { open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { ConversionError } from '../errors.ts'
import type { BlockSource, ConvertContext, Converter } from '../index.ts'
import { bytesOf } from './bytes.ts'
import { FAULT } from './constants.ts'
import { copyTo, pass, PROBE } from './converters.ts'
import { oneOf, numberBetween, text, validate, type Rules } from './settings.ts'

/**
 * - `content`: decided by the block: `CRASH`, `HANG` or `OOM` in it, otherwise it is copied
 * - `crash`, `exit`: the process dies by a signal, or ends as if all were well
 * - `hang`, `stall`: it spins for ever, or waits for ever
 * - `out-of-memory`, `heap`: it allocates resident memory, or JavaScript objects, without end
 * - `bad-output`: a changed copy; `big-output`: writes without end; `link-output`: a symbolic link for an output;
 *   `no-output`: nothing at all; `litter`: leaves another file behind
 * - `slow`: a copy that takes `milliseconds`; `deaf`: the same without listening to the signal
 * - `refuse`, `throw`: fails as converters do, or with an unexpected error
 * - `look-around`: reports what it can see of the machine as JSON; `marker` may name a file to read
 */
export const FAULT_MODES = [
  'content', 'none', 'crash', 'exit', 'hang', 'stall', 'out-of-memory', 'heap', 'bad-output', 'big-output', 'link-output', 'no-output',
  'litter', 'slow', 'deaf', 'refuse', 'throw', 'look-around'
] as const
type FaultMode = typeof FAULT_MODES[number]
type ActMode = Exclude<FaultMode, 'content' | 'look-around'>

export const FAULT_RULES: Rules = {
  mode: oneOf(FAULT_MODES, 'content'),
  marker: text(4096),
  milliseconds: numberBetween(0, 3_600_000, 0)
}

export function testConverters (): boolean {
  return process.env['WEFT_TEST_CONVERTERS'] === '1'
}

export const fault: Converter = {
  ...PROBE,
  id: 'probe/fault',
  to: FAULT,
  runs: 'process',
  validate: params => validate('probe/fault', FAULT_RULES, params),
  async convert (input, params, context) {
    const { mode, marker, milliseconds } = validate('probe/fault', FAULT_RULES, params) as { mode: FaultMode, marker?: string, milliseconds: number }
    const bytes = Buffer.from(await bytesOf(input))
    if (mode === 'look-around') return { bytes: Buffer.from(JSON.stringify(await lookAround(marker))) }
    if (mode !== 'content' && marker != null && !bytes.includes(marker)) return await copyTo(input, context)
    return await ACTS[mode === 'content' ? byContent(bytes) : mode](input, context, milliseconds)
  }
}

function byContent (bytes: Buffer): ActMode {
  if (bytes.includes('CRASH')) return 'crash'
  if (bytes.includes('HANG')) return 'hang'
  return bytes.includes('OOM') ? 'out-of-memory' : 'none'
}

type Act = (input: BlockSource, context: ConvertContext, milliseconds: number) => ReturnType<Converter['convert']>

const ACTS: Record<ActMode, Act> = {
  none: async (input, context) => await copyTo(input, context),
  crash: async () => process.abort(),
  exit: async () => process.exit(0),
  hang: async () => { for (;;); },
  stall: async () => await new Promise(() => {}),
  async 'out-of-memory' () {
    const kept: Buffer[] = []
    for (;;) {
      kept.push(Buffer.alloc(4 << 20, kept.length + 1))
      // The loop must turn, or a watchdog inside the process could not be told apart from one outside.
      await new Promise(resolve => setImmediate(resolve))
    }
  },
  async heap () {
    const kept: unknown[] = []
    for (;;) kept.push({ at: kept.length, text: `object ${kept.length}` })
  },
  'bad-output': async (input, context) => await copyTo(input, context, chunk => {
    const changed = Uint8Array.from(chunk)
    if (changed.byteLength > 0) changed[0] = (changed[0] ?? 0) ^ 1
    return changed
  }),
  async 'big-output' (_input, context) {
    const file = await open(context.output, 'w')
    try {
      for (let done = 0; ; done++) {
        await file.write(Buffer.alloc(1 << 20))
        context.progress(done)
      }
    } finally {
      await file.close()
    }
  },
  async 'link-output' (_input, context) {
    await symlink('/etc/hostname', context.output)
    return {}
  },
  'no-output': async () => ({}),
  async litter (input, context) {
    await writeFile(`${context.output}.left-behind`, 'x')
    return await copyTo(input, context)
  },
  async slow (input, context, milliseconds) {
    await pass(milliseconds, context)
    return await copyTo(input, context)
  },
  async deaf (input, context, milliseconds) {
    await pass(milliseconds, { ...context, signal: new AbortController().signal })
    return await copyTo(input, context)
  },
  async refuse () {
    throw new ConversionError('contradiction', 'line 3, column \'n\': \'x\' is not BIGINT', { line: 3, column: 'n' })
  },
  async throw () {
    throw new TypeError('an unexpected error')
  }
}

/** What the converter reports in mode `look-around`. */
export interface Surroundings {
  /** Error code, or `connected`. */
  network: string
  /** Error code, or `read`, of the file named by `marker`. */
  file: string
  /** Names found in the root folder. */
  root: string[]
  env: string[]
  /** Places that could be written to. */
  writable: string[]
  pid: number
  limits: string
}

async function lookAround (file: string | undefined): Promise<Surroundings> {
  const port = file?.startsWith('port:') === true ? Number(file.slice(5)) : undefined
  const network = port == null ? 'not tried' : await new Promise<string>(resolve => {
    const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve('connected') })
    socket.on('error', (error: NodeJS.ErrnoException) => { resolve(error.code ?? error.message) })
  })
  const read = file == null || port != null ? 'not tried' : await outcome(readFile(file), 'read')
  const writable: string[] = []
  for (const folder of ['/', '/tmp', '/dev/shm', '/usr', import.meta.dirname, process.cwd()]) {
    const path = `${folder}/weft-probe-${process.pid}`
    if (await outcome(writeFile(path, 'x', { flag: 'wx' }), 'written') !== 'written') continue
    writable.push(folder)
    await rm(path)
  }
  return {
    network,
    file: read,
    root: await readdir('/'),
    env: Object.keys(process.env).toSorted(),
    writable,
    pid: process.pid,
    limits: await readFile('/proc/self/limits', 'utf8')
  }
}

async function outcome (action: Promise<unknown>, done: string): Promise<string> {
  return await action.then(() => done, (error: NodeJS.ErrnoException) => error.code ?? error.message)
}

