/**
 * Runs every test with mocha: unit, simulation, integration, end to end. What a machine cannot run (no bwrap, say) is
 * left out and named at the end; `WEFT_TEST_REQUIRE=bwrap,...` turns that into a failure.
 *
 *   npm test [-- --coverage] [-- PATTERN...]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
const args = process.argv.slice(2)
const coverage = args.includes('--coverage')
const patterns = args.filter(arg => !arg.startsWith('--'))
const scratch = mkdtempSync(join(tmpdir(), 'weft-test-'))
const leftOut = join(scratch, 'left-out')

/**
 * Groups side by side, so that one waits while another works; all but the first are printed when those before are done. Every file is in exactly one
 * group: what no group names is in the last of its kind.
 */
const quick = globSync('test/{unit,sim,integration}/**/*.test.ts', { cwd: root }).toSorted()
const slow = globSync('test/e2e/**/*.test.ts', { cwd: root }).toSorted()
const conversions = (file: string): boolean => /unit[\\/](block-convert|executor)[\\/]/.test(file)
const byUsers = (file: string): boolean => /e2e[\\/](cli[\\/].*|bad-input.*|failures|drain|scenario|stranger)\.test\.ts$/.test(file)
const split = (files: string[], isFirst: (file: string) => boolean): string[][] => [files.filter(isFirst), files.filter(file => !isFirst(file))]
const groups = patterns.length > 0 ? [patterns] : [...split(quick, conversions), ...split(slow, byUsers)]
const env = { ...process.env, WEFT_TEST_LEFT_OUT: leftOut, WEFT_TEST_CONVERTERS: '1', TMPDIR: scratch, NODE_ENV: 'test', ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }) }

interface Group { code: number, output: string }

async function runGroup (files: string[], live: boolean, index: number): Promise<Group> {
  const mocha = [bin('mocha'), ...files]
  // Each group writes its own coverage; reports are merged by whoever reads them.
  const command = coverage ? [bin('c8'), '--reporter=text-summary', '--reporter=html', `--reports-dir=coverage/${index}`, '--include=daemon', '--include=cli', ...mocha] : mocha
  const child = spawn(command[0] as string, command.slice(1), { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (live) process.stdout.write(chunk)
    })
  }
  const [code] = await once(child, 'close') as [number | null]
  return { code: code ?? 1, output }
}

const running = groups.map((files, index) => runGroup(files, index === 0, index))
const results: Group[] = []
for (const [index, group] of running.entries()) {
  const result = await group
  if (index > 0) process.stdout.write(result.output)
  results.push(result)
}
const count = (what: string): number => results.reduce((sum, { output }) => sum + Number(new RegExp(`^\\s*(?:\\x1b\\[\\d+m)*\\s*(\\d+) ${what}`, 'm').exec(output)?.[1] ?? 0), 0)

if (existsSync(leftOut)) {
  const lines = [...new Set(readFileSync(leftOut, 'utf8').trim().split('\n'))]
  console.log(`Left out (${lines.length}):`)
  for (const line of lines) console.log(`  ${line}`)
} else {
  console.log('Nothing was left out.')
}
rmSync(scratch, { recursive: true, force: true })
console.log(`${count('passing')} passed, ${count('failing')} failed`)
process.exit(results.every(({ code }) => code === 0) ? 0 : 1)
