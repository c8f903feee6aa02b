/** The command line: which verbs there are. Each verb's file is imported only when it is used. */
import { Command, CommanderError } from 'commander'
import { Failure, oneLine, toFailure, usage } from './lib/failure.ts'
import { endOfOutput, printFailure } from './lib/terminal.ts'

interface Verb {
  name: string
  summary: string
  group: string
  load: () => Promise<{ configure: (command: Command) => void }>
}

const WORK = 'Convert:'
const NODE = 'The daemon:'
const NETWORK = 'The network:'
const MORE = 'More:'

/** In the order in which a newcomer needs them. */
export const VERBS: Verb[] = [
  { name: 'convert', group: WORK, summary: 'convert files, folders or standard input', load: async () => await import('./convert.ts') },
  { name: 'converters', group: WORK, summary: 'what can be converted into what', load: async () => await import('./converters.ts') },
  { name: 'jobs', group: WORK, summary: 'list, show, watch or cancel jobs', load: async () => await import('./jobs.ts') },
  { name: 'init', group: NODE, summary: 'make the keys and configuration of this node', load: async () => await import('./init.ts') },
  { name: 'join', group: NODE, summary: 'become a member of a network you were invited to', load: async () => await import('./join.ts') },
  { name: 'invite', group: NODE, summary: 'print the string that lets another machine join', load: async () => await import('./invite.ts') },
  { name: 'start', group: NODE, summary: 'run the daemon in the foreground', load: async () => await import('./start.ts') },
  { name: 'stop', group: NODE, summary: 'stop the running daemon', load: async () => await import('./stop.ts') },
  { name: 'drain', group: NODE, summary: 'take no more work from others; finish or hand back what runs', load: async () => await import('./drain.ts') },
  { name: 'resume', group: NODE, summary: 'take work from others again', load: async () => await import('./resume.ts') },
  { name: 'status', group: NODE, summary: 'how the running daemon is', load: async () => await import('./status.ts') },
  { name: 'nodes', group: NETWORK, summary: 'nodes of the network: what they convert and ask', load: async () => await import('./nodes.ts') },
  { name: 'prices', group: NETWORK, summary: 'what nodes ask now; set what this one asks', load: async () => await import('./prices.ts') },
  { name: 'capabilities', group: NETWORK, summary: 'how fast the network, and this node, convert what', load: async () => await import('./capabilities.ts') },
  { name: 'peers', group: NETWORK, summary: 'list connections, connect, ban', load: async () => await import('./peers.ts') },
  { name: 'key', group: NODE, summary: 'show, export or replace this node\'s keys', load: async () => await import('./key.ts') },
  { name: 'doctor', group: NODE, summary: 'look for what is wrong with this node, and how to mend it', load: async () => await import('./doctor.ts') },
  { name: 'config', group: NODE, summary: 'look at, check and change the configuration', load: async () => await import('./config.ts') },
  { name: 'testnet', group: MORE, summary: 'run a network of real daemons on this machine', load: async () => await import('./testnet.ts') },
  { name: 'completion', group: MORE, summary: 'completion for bash, zsh or fish', load: async () => await import('./completion.ts') },
  { name: 'version', group: MORE, summary: 'print the version', load: async () => await import('./version.ts') }
]

export function createProgram (): Command {
  const program = new Command('weft')
    .description('Converts data on many machines and checks every result.')
    .usage('VERB [options]')
    .helpOption('-h, --help', 'show help; also: weft VERB --help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', `
Start here:
  weft convert in.csv --to parquet      with this machine alone
  weft testnet up --nodes 5             a network to try things on`)
  for (const { name, group, summary } of VERBS) settle(program.command(name).description(summary).helpGroup(group))
  return settle(program)
}

/** Errors are thrown, and told by `main` alone: once, in one line. */
function settle (command: Command): Command {
  return command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} }).showSuggestionAfterError(true)
}

/** `argv` as in `process.argv`. Sets the exit code; never throws. */
export async function main (argv: string[]): Promise<void> {
  process.stdout.on('error', endOfOutput)
  process.stderr.on('error', endOfOutput)
  try {
    await run(argv.slice(2))
  } catch (error) {
    const failure = toFailure(error)
    printFailure(failure, wantsJson(argv))
    if (failure.cause != null && process.env.WEFT_TEST_DEBUG === '1') console.error(failure.cause)
    process.exitCode = failure.exit
  }
}

async function run (args: string[]): Promise<void> {
  const program = createProgram()
  const [name] = args
  if (name === '--version' || name === '-V') return await run(['version', ...args.slice(1)])
  if (name === 'help') return await run([...args.slice(1), '--help'])
  if (args.length === 0) {
    process.stderr.write(program.helpInformation())
    throw usage('no verb given')
  }
  const verb = VERBS.find(candidate => candidate.name === name)
  if (verb != null) {
    const command = program.commands.find(candidate => candidate.name() === verb.name) as Command
    const { configure } = await verb.load()
    configure(command)
    command.commands.forEach(settle)
  }
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return
    throw usageOf(error, args, verb == null ? undefined : program.commands.find(candidate => candidate.name() === verb.name))
  }
}

/** Commander's words as one line that says where to look. */
function usageOf (error: CommanderError, args: string[], verb: Command | undefined): Failure {
  const help = `see 'weft ${verb == null ? '' : `${verb.name()} `}--help'`
  // The default one of several verbs below took a mistyped one for its argument.
  const below = verb?.commands.map(command => command.name()) ?? []
  if (error.code === 'commander.excessArguments' && below.length > 0 && !below.includes(args[1] ?? '')) return usage(`unknown verb '${args[1] ?? ''}' below ${verb?.name() ?? ''}: one of ${below.join(', ')}; ${help}`)
  if (error.code === 'commander.help') return usage(`${verb?.name() ?? 'weft'} needs a verb${below.length > 0 ? `: one of ${below.join(', ')}` : ''}; ${help}`)
  if (error.code === 'commander.unknownOption' && args.some(arg => arg.startsWith('-') && !arg.startsWith('--') && arg.includes('.'))) return usage(`${oneLine(error.message.replace(/^error: /, ''))}; a file whose name begins with '-' is written ./-NAME; ${help}`)
  const said = oneLine(error.message.replace(/^error: /, '').replace(/\.$/, '').replace(/\n?\(Did you mean (.*)\?\)/, ': did you mean $1?'))
  return usage(`${said}${said.endsWith('?') ? '' : ';'} ${help}`)
}

function wantsJson (argv: string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json')
}
