import type { Command } from 'commander'
import { AMOUNT_FORM, parseAmount } from '../daemon/gateway/view/money.ts'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { JobRequest } from '../daemon/coordinator/index.ts'
import { findDaemon, type Client } from './lib/client.ts'
import { convertHelp } from './lib/convert-help.ts'
import { convertOne, type ConversionOptions } from './lib/conversion.ts'
import { openSession } from './lib/embedded.ts'
import { EXIT } from './lib/exit.ts'
import { Failure, usage } from './lib/failure.ts'
import { makeFolders, planConversions, type Conversion } from './lib/inputs.ts'
import { onInterrupt } from './lib/interrupt.ts'
import { partsOf, targetOf, withOutputName, type TargetName } from './lib/names.ts'
import { readSettings } from './lib/settings.ts'
import { runSeveral } from './lib/several.ts'
import { parseBytes, parseSeconds } from './lib/units.ts'

interface Options {
  to?: string
  output?: string
  from?: string
  set?: string[]
  verify?: string
  local?: boolean
  remote?: boolean
  nodes?: string
  maxPrice?: string
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
    .optionsGroup('From and to:')
    .option('--to <type>', 'target: an extension (parquet, csv.gz) or a media type; not needed where -o NAME.EXT says it')
    .option('-o, --output <path>', 'output file; a folder (or a path ending in /) for one output per input; - for standard output. Default: the input\'s name with the new extension, here')
    .option('--from <type>', 'type of the inputs, where their content does not tell')
    .option('--set <key=value>', 'a setting of the conversion (below); may be repeated', (value: string, before: string[] = []) => [...before, value])
    .option('--overwrite', 'replace an output that exists')
    .optionsGroup('Where and how:')
    .option('--local', 'only on this machine')
    .option('--remote', 'only on other machines')
    .option('--nodes <peers>', 'only on these peers, separated by commas')
    .option('--max-price <amount>', 'only on peers that ask at most this per resource hour, in millionths of the unit (250000) or in units (0.25); this machine costs nothing')
    .option('--verify <policy>', 'compare results with their source: none, sample or all (default: sample)')
    .option('--block-size <size>', 'bytes per block, like 16MB or 16MiB (default: measured)')
    .option('--deadline <time>', 'give up after this time, like 90s or 10m')
    .optionsGroup('Running:')
    .option('--detach', 'leave the job to the running daemon and return at once')
    .option('--config <file>', 'configuration of the embedded node, when no daemon is running')
    .option('--json', 'print the report as JSON, a line for each output')
    .addHelpText('after', () => convertHelp(process.stdout.columns))
    .action(convert)
}

async function convert (inputs: string[], options: Options): Promise<void> {
  const template = await readOptions(inputs, options)
  const target = readTarget(options)
  const divided = template.settings?.partition_by != null
  if (divided && options.output === '-') throw usage('partition_by makes a folder of files, which cannot go to standard output: name a folder with -o')
  const { dataDir } = resolvePaths()
  if (options.detach === true && await findDaemon(dataDir) == null) {
    throw new Failure('no-daemon', `--detach leaves the job to a daemon, and none is running for ${dataDir}: start one with 'weft start'`, { dataDir })
  }
  const wanted = { inputs, target, divided, ...(options.output != null ? { out: options.output } : {}) }
  const plain = await planConversions(wanted)
  await using session = await openSession(dataDir, options.config == null ? {} : { configFile: options.config })
  const conversions = needsTypes(plain, target, options) ? await planConversions({ ...wanted, ...await typesOf(session.client, target, options.from) }) : plain
  if (conversions.length > 1 || options.output?.endsWith('/') === true) await makeFolders(conversions)

  const interrupt = onInterrupt()
  const several = conversions.length > 1
  const json = options.json === true
  const how: ConversionOptions = { client: session.client, template: { ...template, to: target.to }, target, json, detach: options.detach === true, several, interrupt }
  try {
    if (several) process.exitCode = await runSeveral(conversions, async conversion => await convertOne(conversion, withTabs(how, conversion)), { client: session.client, interrupt, quiet: json })
    else {
      const outcome = await convertOne(conversions[0] as Conversion, withTabs(how, conversions[0] as Conversion))
      outcome.tell()
      if (outcome.exit !== EXIT.done) process.exitCode = outcome.exit
    }
  } finally {
    interrupt.release()
  }
}

/** A name that ends in .tsv promises tabs; what is only compressed has them already. */
function withTabs (how: ConversionOptions, { inputs }: Conversion): ConversionOptions {
  const { target: { extension, compression }, template } = how
  const compressed = compression !== '' && inputs.length === 1 && partsOf(inputs[0] as string).extension === 'tsv'
  if (extension !== 'tsv' || compressed || template.settings?.['to.delimiter'] != null) return how
  return { ...how, template: { ...template, settings: { ...template.settings, 'to.delimiter': 'tab' } } }
}

/** What to convert to: as `--to` says, with what the output's name adds. */
function readTarget ({ to, output }: Options): TargetName {
  const named = to == null ? undefined : targetOf(to)
  if (to != null && named?.to === '') throw usage('--to names no type: write for instance --to parquet', { option: '--to' })
  const isName = output != null && output !== '-' && !output.endsWith('/')
  const target = isName ? withOutputName(named, output) : named
  if (target == null) throw usage(`say what to convert to: --to TYPE (parquet, csv, ndjson, ...)${output == null ? ', or -o NAME.EXT' : `, since ${output === '-' ? 'standard output' : `'${output}'`} has no extension that tells`}`, { option: '--to' })
  return target
}

/** Everything that can be said about the options without a daemon. */
async function readOptions (inputs: string[], options: Options): Promise<Omit<JobRequest, 'inputs' | 'output' | 'to'>> {
  if (options.local === true && options.remote === true) throw usage('--local and --remote exclude each other')
  if (options.verify != null && !['none', 'sample', 'all'].includes(options.verify)) throw usage(`--verify: '${options.verify}' is none of none, sample, all`, { option: '--verify' })
  if (inputs.includes('-') && options.from == null) throw usage('standard input has no name that tells its type: say it with --from TYPE')
  const nodes = options.nodes?.split(',').map(peer => peer.trim()).filter(peer => peer !== '')
  // An empty list would mean everywhere.
  if (nodes?.length === 0) throw usage('--nodes: no peer named: write peer ids, separated by commas', { option: '--nodes' })
  if (options.detach === true && (inputs.includes('-') || options.output === '-')) throw usage('--detach does not go with standard input or output')
  return {
    ...(options.from != null ? { from: options.from } : {}),
    ...(options.overwrite === true ? { overwrite: true } : {}),
    ...(options.set != null ? { settings: await readSettings(options.set) } : {}),
    ...(options.local === true ? { place: 'local' } : options.remote === true ? { place: 'remote' } : {}),
    ...(nodes != null ? { nodes } : {}),
    ...(options.verify != null ? { verify: options.verify as 'none' | 'sample' | 'all' } : {}),
    ...(options.maxPrice != null ? { maxPrice: parseMaxPrice(options.maxPrice) } : {}),
    ...(options.blockSize != null ? { blockBytes: parseBytes(options.blockSize, '--block-size') } : {}),
    ...(options.deadline != null ? { deadlineSeconds: parseSeconds(options.deadline, '--deadline') } : {})
  }
}

function parseMaxPrice (text: string): string {
  const amount = parseAmount(text)
  if (amount == null) throw usage(`--max-price: '${text}' is no amount: write ${AMOUNT_FORM}`, { option: '--max-price', value: text })
  return amount
}

/** Folders need to know what can be converted at all, and outputs named after a media type its usual extension. */
const needsTypes = (plain: Conversion[], { to }: TargetName, { output }: Options): boolean =>
  plain.length > 1 || plain.some(({ inputs }) => inputs.length > 1) || (to.includes('/') && (output == null || output.endsWith('/')))

/** What the daemon's converters add: extensions of what can become the target, and the target's own. */
async function typesOf (client: Client, target: TargetName, fromTyped: string | undefined): Promise<{ target: TargetName, convertible?: Set<string> }> {
  const converters = await client.converters()
  const type = target.to.includes('/') ? target.to.toLowerCase() : target.extension
  const named = converters.filter(({ to, extensions }) => to === type || extensions?.to.includes(type === '' ? target.compression : type) === true)
  const from = fromTyped == null ? undefined : targetOf(fromTyped)
  const sources = named.filter(converter => from == null || converter.from === from.to || converter.extensions?.from.includes(from.extension === '' ? from.compression : from.extension) === true)
  // Whatever is only bytes can be anything.
  const any = sources.length === 0 || sources.some(converter => converter.from === 'application/octet-stream')
  return {
    target: target.to.includes('/') ? { ...target, extension: named.find(({ extensions }) => extensions != null)?.extensions?.to[0] ?? target.extension } : target,
    ...(any ? {} : { convertible: new Set(sources.flatMap(({ extensions }) => extensions?.from ?? [])) })
  }
}
