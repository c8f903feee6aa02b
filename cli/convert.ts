import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, extname, join } from 'node:path'
import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { JobReport, JobRequest } from '../daemon/coordinator/index.ts'
import type { Client } from './lib/client.ts'
import { findDaemon } from './lib/client.ts'
import { openSession } from './lib/embedded.ts'
import { EXIT, type ExitCode } from './lib/exit.ts'
import { Failure, toFailure, usage } from './lib/failure.ts'
import { failureOf, followJob } from './lib/follow.ts'
import { makeFolders, planConversions, type Conversion } from './lib/inputs.ts'
import { onInterrupt, type Interrupt } from './lib/interrupt.ts'
import { readStandardInput } from './lib/standard-input.ts'
import { summary } from './lib/summary.ts'
import { pipeOut, print, printFailure, printJson, tell } from './lib/terminal.ts'
import { parseBytes, parseSeconds } from './lib/units.ts'

interface Options {
  to: string
  output?: string
  from?: string
  set?: string[]
  verify?: string
  local?: boolean
  remote?: boolean
  nodes?: string
  blockSize?: string
  deadline?: string
  overwrite?: boolean
  detach?: boolean
  config?: string
  json?: boolean
}

export function configure (command: Command): void {
  command
    .argument('<input...>', 'files, folders, patterns in quotes, or - for standard input')
    .requiredOption('--to <type>', 'target: an extension (parquet) or a media type')
    .option('-o, --output <path>', 'output file; a folder (or a path ending in /) for one output per input; - for standard output. Default: the input\'s name with the new extension, here')
    .option('--from <type>', 'type of the inputs, where their content does not tell')
    .option('--set <key=value>', 'a setting of the conversion; may be repeated', (value: string, before: string[] = []) => [...before, value])
    .option('--verify <policy>', 'compare results with their source: none, sample or all (default: sample)')
    .option('--local', 'only on this machine')
    .option('--remote', 'only on other machines')
    .option('--nodes <peers>', 'only on these peers, separated by commas')
    .option('--block-size <size>', 'bytes per block, like 16MB or 16MiB (default: measured)')
    .option('--deadline <time>', 'give up after this time, like 90s or 10m')
    .option('--overwrite', 'replace an output that exists')
    .option('--detach', 'leave the job to the running daemon and return at once')
    .option('--config <file>', 'configuration of the embedded node, when no daemon is running')
    .option('--json', 'print the report as JSON')
    .addHelpText('after', `
Examples:
  weft convert in.csv --to parquet
  weft convert data/ --to parquet -o out/
  cat in.csv | weft convert - --from csv --to ndjson -o - | head`)
    .action(convert)
}

async function convert (inputs: string[], options: Options): Promise<void> {
  const template = readOptions(inputs, options)
  const { dataDir } = resolvePaths()
  if (options.detach === true && await findDaemon(dataDir) == null) {
    throw new Failure('no-daemon', `--detach leaves the job to a daemon, and none is running for ${dataDir}: start one with 'weft start'`, { dataDir })
  }
  const plain = await planConversions({ inputs, extension: guessExtension(options.to), ...(options.output != null ? { out: options.output } : {}) })
  await using session = await openSession(dataDir, options.config == null ? {} : { configFile: options.config })
  const conversions = needsTypes(plain, options) ? await replan(session.client, inputs, options) : plain
  if (conversions.length > 1 || options.output?.endsWith('/') === true) await makeFolders(conversions)

  const interrupt = onInterrupt()
  try {
    let worst: ExitCode = EXIT.done
    for (const conversion of conversions) {
      if (interrupt.signal.aborted) {
        worst = EXIT.interrupted
        break
      }
      const exit = await one(session.client, conversion, template, options, conversions.length > 1, interrupt)
      // One of several that failed is "failed"; what failed is in its own report.
      if (exit !== EXIT.done) worst = conversions.length > 1 && exit !== EXIT.interrupted ? EXIT.failed : exit
    }
    if (worst !== EXIT.done) process.exitCode = worst
  } finally {
    interrupt.release()
  }
}

/** Everything that can be said about the options without a daemon. */
function readOptions (inputs: string[], options: Options): Omit<JobRequest, 'inputs' | 'output'> {
  if (options.local === true && options.remote === true) throw usage('--local and --remote exclude each other')
  if (options.verify != null && !['none', 'sample', 'all'].includes(options.verify)) throw usage(`--verify: '${options.verify}' is none of none, sample, all`, { option: '--verify' })
  if (inputs.includes('-') && options.from == null) throw usage('standard input has no name that tells its type: say it with --from TYPE')
  const nodes = options.nodes?.split(',').map(peer => peer.trim()).filter(peer => peer !== '')
  // An empty list would mean everywhere.
  if (nodes?.length === 0) throw usage('--nodes: no peer named: write peer ids, separated by commas', { option: '--nodes' })
  if (options.detach === true && (inputs.includes('-') || options.output === '-')) throw usage('--detach does not go with standard input or output')
  const settings = Object.fromEntries((options.set ?? []).map(pair => {
    const at = pair.indexOf('=')
    if (at < 1) throw usage(`--set: '${pair}' is not of the form key=value`, { option: '--set' })
    return [pair.slice(0, at), pair.slice(at + 1)]
  }))
  return {
    to: options.to,
    ...(options.from != null ? { from: options.from } : {}),
    ...(options.overwrite === true ? { overwrite: true } : {}),
    ...(options.set != null ? { settings } : {}),
    ...(options.local === true ? { place: 'local' } : options.remote === true ? { place: 'remote' } : {}),
    ...(nodes != null ? { nodes } : {}),
    ...(options.verify != null ? { verify: options.verify as 'none' | 'sample' | 'all' } : {}),
    ...(options.blockSize != null ? { blockBytes: parseBytes(options.blockSize, '--block-size') } : {}),
    ...(options.deadline != null ? { deadlineSeconds: parseSeconds(options.deadline, '--deadline') } : {})
  }
}

/** `parquet`, `.parquet` and `application/vnd.apache.parquet` are all `parquet`; the daemon's converters know better. */
function guessExtension (type: string): string {
  return (type.split('/').at(-1) ?? type).replace(/^.*[.+]/, '').replace(/^x-/, '').toLowerCase()
}

/** Names of outputs that we choose need the usual extension; folders need to know what can be converted at all. */
const needsTypes = (plain: Conversion[], { output, to }: Options): boolean => plain.length > 1 || plain.some(({ inputs }) => inputs.length > 1) || (to.includes('/') && (output == null || output.endsWith('/')))

async function replan (client: Client, inputs: string[], options: Options): Promise<Conversion[]> {
  const converters = await client.converters()
  const wanted = options.to.toLowerCase().replace(/^\./, '')
  const towards = converters.filter(({ to, extensions }) => to === wanted || extensions?.to.includes(wanted) === true)
  const from = options.from?.toLowerCase().replace(/^\./, '')
  const sources = towards.filter(converter => from == null || converter.from === from || converter.extensions?.from.includes(from) === true)
  const convertible = new Set(sources.flatMap(({ extensions }) => extensions?.from ?? []))
  return await planConversions({
    inputs,
    extension: towards.find(({ extensions }) => extensions != null)?.extensions?.to[0] ?? guessExtension(options.to),
    ...(options.output != null ? { out: options.output } : {}),
    ...(convertible.size > 0 ? { convertible } : {})
  })
}

/** One output. Prints its report or its failure; gives the exit code. */
async function one (client: Client, conversion: Conversion, template: Omit<JobRequest, 'inputs' | 'output'>, options: Options, several: boolean, interrupt: Interrupt): Promise<ExitCode> {
  const json = options.json === true
  let report: JobReport | undefined
  let upload: string | undefined
  try {
    await using standard = await throughFiles(client, conversion, guessExtension(options.to), interrupt.signal)
    if (conversion.inputs[0] === '-') upload = standard.inputs[0]
    const submitted = await client.submit({ ...template, inputs: standard.inputs, output: standard.output }, randomUUID())
    if (options.detach === true) {
      if (json) printJson(submitted)
      else print(submitted.job)
      return EXIT.done
    }
    report = asTyped(await followJob(client, submitted.job, { json, several, interrupt, name: conversion.inputs[0] === '-' ? 'standard input' : basename(conversion.inputs[0] ?? '') }), upload)
    if (report.state !== 'done') throw failureOf(report)
    if (conversion.output === '-') await pipeOut(await client.output(submitted.job))
    const words = { ...(conversion.inputs[0] === '-' ? { from: 'standard input' } : {}), short: several }
    if (conversion.output === '-') tell(summary(report, { ...words, to: 'standard output', stream: process.stderr }))
    else if (json) printJson(report)
    else print(summary(report, words))
    return EXIT.done
  } catch (error) {
    const failure = interrupt.signal.aborted ? new Failure('cancelled', 'interrupted; no output was written') : inWordsOfUser(toFailure(error), upload)
    if (!json || conversion.output === '-') printFailure(failure, false)
    else printFailed(failure, report, conversion, several)
    return failure.exit
  }
}

/** A report without the file that standard input became: the user typed `-`. */
function asTyped (report: JobReport, upload: string | undefined): JobReport {
  return { ...report, inputs: report.inputs.map(input => input.path === upload ? { ...input, path: '-' } : input) }
}

function inWordsOfUser (failure: Failure, upload: string | undefined): Failure {
  if (upload == null) return failure
  const message = failure.message.replaceAll(`'${upload}'`, 'standard input').replaceAll(upload, 'standard input')
  return new Failure(failure.code, message, { ...failure.details, ...(failure.details.path === upload ? { path: '-' } : {}) }, { cause: failure.cause, exit: failure.exit })
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
async function throughFiles (client: Client, { inputs, output }: Conversion, extension: string, signal: AbortSignal): Promise<Conversion & AsyncDisposable> {
  const cleanUp = new AsyncDisposableStack()
  const files = { inputs, output }
  if (inputs[0] === '-') {
    const { id, path } = await readStandardInput(async source => await client.upload(source, signal), { signal })
    cleanUp.defer(async () => { await client.removeUpload(id) })
    files.inputs = [path]
  }
  if (output === '-') {
    const folder = await mkdtemp(join(tmpdir(), 'weft-output-'))
    cleanUp.defer(async () => { await rm(folder, { recursive: true, force: true }) })
    files.output = join(folder, `${basename(inputs[0] ?? 'output', extname(inputs[0] ?? ''))}.${extension}`)
  }
  return { ...files, [Symbol.asyncDispose]: async () => { await cleanUp.disposeAsync() } }
}
