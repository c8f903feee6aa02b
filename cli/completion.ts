import type { Command } from 'commander'
import { usage } from './lib/failure.ts'
import { print } from './lib/terminal.ts'

export function configure (command: Command): void {
  command.argument('<shell>', 'bash, zsh or fish').addHelpText('after', `
Examples:
  weft completion bash > ~/.local/share/bash-completion/completions/weft
  weft completion zsh > "\${fpath[1]}/_weft"
  weft completion fish > ~/.config/fish/completions/weft.fish`).action(async (shell: string) => {
    const script = SCRIPTS[shell]
    if (script == null) throw usage(`no completion for '${shell}': bash, zsh or fish`)
    print(script(await words()))
  })
}

interface Words { verbs: Array<{ name: string, summary: string, options: string[], below: string[] }> }

/** Verbs and their options, from the same definitions that parse them. */
async function words (): Promise<Words> {
  const { VERBS, createProgram } = await import('./main.ts')
  const program = createProgram()
  const verbs = []
  for (const verb of VERBS) {
    const command = program.commands.find(candidate => candidate.name() === verb.name) as Command
    if (verb.name !== 'completion') (await verb.load()).configure(command)
    const options = [command, ...command.commands].flatMap(part => part.options.map(option => option.long ?? option.short ?? ''))
    verbs.push({ name: verb.name, summary: verb.summary, options: [...new Set(options)], below: command.commands.map(part => part.name()) })
  }
  return { verbs }
}

const SCRIPTS: Record<string, (words: Words) => string> = {
  bash: ({ verbs }) => `_weft () {
  local word="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${verbs.map(({ name }) => name).join(' ')}" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${verbs.map(({ name, options, below }) => `    ${name}) words="${[...below, ...options].join(' ')}" ;;`).join('\n')}
    *) words="" ;;
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$word") $(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _weft weft`,
  zsh: ({ verbs }) => `#compdef weft
_weft () {
  if (( CURRENT == 2 )); then
    local -a verbs=(${verbs.map(({ name, summary }) => `'${name}:${summary.replaceAll('\'', '')}'`).join(' ')})
    _describe verb verbs
    return
  fi
  case "$words[2]" in
${verbs.map(({ name, options, below }) => `    ${name}) compadd -- ${[...below, ...options].join(' ')} ;;`).join('\n')}
  esac
  _files
}
_weft "$@"`,
  fish: ({ verbs }) => verbs.flatMap(({ name, summary, options, below }) => [
    `complete -c weft -n __fish_use_subcommand -a ${name} -d '${summary.replaceAll('\'', '')}'`,
    ...below.map(verb => `complete -c weft -n '__fish_seen_subcommand_from ${name}' -a ${verb}`),
    ...options.map(option => `complete -c weft -n '__fish_seen_subcommand_from ${name}' -l ${option.replace(/^--/, '')}`)
  ]).join('\n')
}
