/** One output from its files to its report or its failure. Prints nothing: of several, the caller keeps the order. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { JobReport, JobRequest } from '../../daemon/coordinator/index.ts'
import type { Client } from './client.ts'
import { EXIT, type ExitCode } from './exit.ts'
import { Failure, toFailure } from './failure.ts'
import { failureOf, followJob, goesOn } from './follow.ts'
import type { Conversion } from './inputs.ts'
import type { Interrupt } from './interrupt.ts'
import { outputName, shown, type TargetName } from './names.ts'
import { readStandardInput } from './standard-input.ts'
import { summary } from './summary.ts'
import { pipeOut, print, printFailure, printJson, tell } from './terminal.ts'
import { count } from './units.ts'

export interface ConversionOptions {
  client: Client
  template: Omit<JobRequest, 'inputs' | 'output'>
  target: TargetName
  json: boolean
  detach: boolean
  /** One of several outputs: no progress of its own, and a line for its report. */
  several: boolean
  interrupt: Interrupt
}

export interface Outcome {
  exit: ExitCode
  /** Says it, on standard output and standard error. */
  tell: () => void
}

const told = (tell: () => void, exit: ExitCode = EXIT.done): Outcome => ({ exit, tell })

/** Runs one job to its end. Never throws. */
export async function convertOne (conversion: Conversion, options: ConversionOptions): Promise<Outcome> {
  const { client, template, json, detach, several, interrupt } = options
  const toPipe = conversion.output === '-'
  let report: JobReport | undefined
  let upload: string | undefined
  try {
    await using standard = await throughFiles(conversion, options)
    if (conversion.inputs[0] === '-') upload = standard.inputs[0]
    const submitted = await client.submit({ ...template, inputs: standard.inputs, output: standard.output }, randomUUID())
    if (detach) return told(() => json ? printJson(submitted) : print(submitted.job))
    // Standard output ends with this command: nobody would read what the daemon writes when it goes on.
    const ended = await awaitEnd(submitted.job, conversion, options).catch((error: unknown) => { throw toPipe ? error : goesOn(error, submitted.job) })
    report = asTyped(ended, upload)
    if (report.state !== 'done') throw failureOf(report)
    if (toPipe) await pipeOut(await client.output(submitted.job))
    const done = report
    const words = { ...(upload != null ? { from: 'standard input' } : {}), short: several }
    if (toPipe) return told(() => tell(summary(forEyes(done), { ...words, to: 'standard output', stream: process.stderr })))
    return told(() => json ? printJson(done) : print(summary(forEyes(done), words)))
  } catch (error) {
    const failure = interrupt.signal.aborted ? new Failure('cancelled', 'interrupted; no output was written') : inWordsOfUser(toFailure(error), upload)
    return told(() => json && !toPipe ? printFailed(failure, report, conversion, several) : printFailure(located(failure, conversion, several), false), failure.exit)
  }
}

async function awaitEnd (job: string, { inputs }: Conversion, { client, json, several, interrupt }: ConversionOptions): Promise<JobReport> {
  if (!several) return await followJob(client, job, { json, interrupt, name: inputs[0] === '-' ? 'standard input' : inputs.length > 1 ? count(inputs.length, 'input') : shown(basename(inputs[0] ?? '')) })
  const stopCancelling = interrupt.onAbort(async () => { await client.cancel(job) })
  try {
    return await client.wait(job)
  } finally {
    stopCancelling()
  }
}

/** Of several, every line says which it is about. */
function located (failure: Failure, { inputs, output }: Conversion, several: boolean): Failure {
  const names = [...inputs, output]
  if (!several || names.some(name => failure.message.includes(name))) return failure
  return new Failure(failure.code, `${inputs[0] ?? output}: ${failure.message}`, failure.details, { cause: failure.cause, exit: failure.exit })
}

/** A report without the file that standard input became: the user typed `-`. */
function asTyped (report: JobReport, upload: string | undefined): JobReport {
  if (upload == null) return report
  const notes = (report.notes ?? []).map(note => ({ ...note, message: typed(note.message, upload), ...(note.input === upload ? { input: '-' } : {}) }))
  return { ...report, notes, inputs: report.inputs.map(input => input.path === upload ? { ...input, path: '-' } : input) }
}

const typed = (text: string, upload: string): string => text.replaceAll(`'${upload}'`, 'standard input').replaceAll(upload, 'standard input')

function inWordsOfUser (failure: Failure, upload: string | undefined): Failure {
  if (upload == null) return failure
  return new Failure(failure.code, typed(failure.message, upload), { ...failure.details, ...(failure.details.path === upload ? { path: '-' } : {}) }, { cause: failure.cause, exit: failure.exit })
}

/** Names of files may hold anything; a terminal must not obey them. */
function forEyes (report: JobReport): JobReport {
  return { ...report, inputs: report.inputs.map(input => ({ ...input, path: shown(input.path) })), outputs: report.outputs.map(output => ({ ...output, path: shown(output.path) })) }
}

/** The report with its error, or for a job that never was one what would have been in it. */
function printFailed (failure: Failure, report: JobReport | undefined, { inputs, output }: Conversion, several: boolean): void {
  const { error } = failure.toJSON()
  if (report != null) printJson({ ...report, error })
  else if (several) printJson({ state: 'failed', error, inputs: inputs.map(path => ({ path })), outputs: [{ path: output }] })
  else printJson({ error })
  printFailure(failure, false)
}

/** Standard input is uploaded, standard output goes through a file of its own: jobs work on files. */
async function throughFiles ({ inputs, output }: Conversion, { client, target, interrupt: { signal } }: ConversionOptions): Promise<Conversion & AsyncDisposable> {
  const cleanUp = new AsyncDisposableStack()
  const files = { inputs, output }
  try {
    if (inputs[0] === '-') {
      const { id, path } = await readStandardInput(async source => await client.upload(source, signal), { signal })
      // A daemon that went away still needs it for the job it goes on with, and lets it go with that.
      cleanUp.defer(async () => { await client.removeUpload(id).catch(() => {}) })
      files.inputs = [path]
    }
    if (output === '-') {
      const folder = await mkdtemp(join(tmpdir(), 'weft-output-'))
      cleanUp.defer(async () => { await rm(folder, { recursive: true, force: true }) })
      files.output = join(folder, outputName('output', target))
    }
  } catch (error) {
    await cleanUp.disposeAsync()
    throw error
  }
  return { ...files, [Symbol.asyncDispose]: async () => { await cleanUp.disposeAsync() } }
}
