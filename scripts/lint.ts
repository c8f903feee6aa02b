/** Lint: oxlint with the rules of `.oxlintrc.json`. Warnings fail too. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const run = spawnSync(join(root, 'node_modules', '.bin', 'oxlint'), ['--deny-warnings', 'daemon', 'cli', 'scripts', 'test', 'bench', 'bin', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' })
process.exit(run.status ?? 1)
