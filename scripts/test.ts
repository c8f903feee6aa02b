/**
 * Runs every test with mocha: unit, simulation, integration, end to end. What a machine cannot run (no bwrap, say) is
 * left out and named at the end; `WEFT_TEST_REQUIRE=bwrap,...` turns that into a failure.
 *
 *   npm test [-- --coverage] [-- PATTERN...]
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
const args = process.argv.slice(2)
const coverage = args.includes('--coverage')
const patterns = args.filter(arg => !arg.startsWith('--'))
const scratch = mkdtempSync(join(tmpdir(), 'weft-test-'))
const leftOut = join(scratch, 'left-out')

const mocha = [bin('mocha'), ...(patterns.length > 0 ? patterns : ['test/{unit,sim,integration,e2e}/**/*.test.ts'])]
const command = coverage ? [bin('c8'), '--reporter=text-summary', '--reporter=html', '--include=daemon', '--include=cli', ...mocha] : mocha
const run = spawnSync(command[0] as string, command.slice(1), {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, WEFT_TEST_LEFT_OUT: leftOut, WEFT_TEST_CONVERTERS: '1', TMPDIR: scratch, NODE_ENV: 'test' }
})
if (existsSync(leftOut)) {
  const lines = [...new Set(readFileSync(leftOut, 'utf8').trim().split('\n'))]
  console.log(`Left out (${lines.length}):`)
  for (const line of lines) console.log(`  ${line}`)
} else {
  console.log('Nothing was left out.')
}
rmSync(scratch, { recursive: true, force: true })
process.exit(run.status ?? 1)
