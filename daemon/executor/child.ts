/**
 * An engine process: takes one task at a time over the channel, runs its converter, and answers. It has a folder of its
 * own, which holds nothing but the input and output of the task at hand.
 */
import { readdir, rm, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { converterById } from '../block-convert/index.ts'
import { CHANNEL_FD, CPU_PROGRESS_SHARE, INLINE_BYTES_MAX, INPUT_NAME, OUTPUT_NAME, PROGRESS_MS } from './constants.ts'
import { encodeFrame, FrameReader, type EngineAnswer, type FromEngine, type TaskMessage, type ToEngine } from './messages.ts'
import { verdictOfError } from './verdict.ts'

const channel = new Socket({ fd: CHANNEL_FD, readable: true, writable: true })
const reader = new FrameReader()
let running: { id: number, abort: AbortController } | undefined

channel.on('data', chunk => {
  for (const message of reader.push(chunk) as ToEngine[]) {
    if (message.type === 'cancel') {
      if (running?.id === message.id) running.abort.abort(new DOMException('cancelled', 'AbortError'))
    } else {
      void take(message)
    }
  }
})
// The daemon closed the channel, or is no more: there is nobody left to work for.
channel.on('close', () => process.exit(0))
channel.on('error', () => process.exit(0))
send({ type: 'ready' })

function send (message: FromEngine): void {
  channel.write(encodeFrame(message))
}

async function take (task: TaskMessage): Promise<void> {
  const abort = new AbortController()
  running = { id: task.id, abort }
  const before = process.cpuUsage()
  const progress = reportProgress(task)
  const answer = await answerTo(task, abort.signal, progress.report).catch(verdictOfError)
  progress.stop()
  await tidy().catch((error: unknown) => { console.error('cannot tidy up', error) })
  running = undefined
  const { user, system } = process.cpuUsage(before)
  const done = { type: 'answer', id: task.id, cpuMs: Math.round((user + system) / 1000) } as const
  try {
    send({ ...done, answer })
  } catch (error) {
    // Details that DAG-CBOR cannot hold, or too large ones: the answer goes without them.
    send({ ...done, answer: answer.ok ? verdictOfError(error) : { ok: false, reason: answer.reason, message: answer.message, ...(answer.code == null ? {} : { code: answer.code }) } })
  }
}

async function answerTo (task: TaskMessage, signal: AbortSignal, progress: (done: number) => void): Promise<EngineAnswer> {
  const converter = converterById(task.converter, task.version)
  if (converter == null) return { ok: false, reason: 'unavailable', message: `this build has no converter ${task.converter} ${task.version}` }
  const { output, threads, memoryBytes } = task
  const result = await converter.convert(task.input, task.parameters, { output, threads, memoryBytes, signal, progress })
  const answer: EngineAnswer = { ok: true, ...(result.units === undefined ? {} : { units: result.units }) }
  if (result.bytes == null) return answer
  if (result.bytes.byteLength <= INLINE_BYTES_MAX) return { ...answer, bytes: result.bytes }
  await writeFile(output, result.bytes)
  return answer
}

/** Removes what the engine left beside input and output: spill files, temporary folders. */
async function tidy (): Promise<void> {
  const folder = process.cwd()
  for (const name of await readdir(folder)) {
    if (name !== INPUT_NAME && name !== OUTPUT_NAME) await rm(`${folder}/${name}`, { recursive: true, force: true })
  }
}

/**
 * Progress as one monotonic counter: what the converter reports, plus one for every window in which the process used
 * CPU time, because an engine at work inside one long call reports nothing. So a converter that waits for ever, or whose
 * JavaScript never yields, makes no progress and counts as hung; a native loop without end is only stopped by the limit
 * of the whole attempt.
 */
function reportProgress (task: TaskMessage): { report: (done: number) => void, stop: () => void } {
  let reported = 0
  let windows = 0
  let sent = 0
  let windowStart = performance.now()
  let usage = process.cpuUsage()
  const every = Math.min(PROGRESS_MS, task.cpuWindowMs / 2)
  const timer = setInterval(() => {
    const now = performance.now()
    if (now - windowStart >= task.cpuWindowMs) {
      const { user, system } = process.cpuUsage(usage)
      if ((user + system) / 1000 >= CPU_PROGRESS_SHARE * (now - windowStart)) windows++
      windowStart = now
      usage = process.cpuUsage()
    }
    if (reported + windows > sent) {
      sent = reported + windows
      send({ type: 'progress', id: task.id, done: sent })
    }
  }, every)
  return {
    report: done => { if (done > reported) reported = done },
    stop: () => { clearInterval(timer) }
  }
}
