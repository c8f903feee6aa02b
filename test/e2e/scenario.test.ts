/** Scenario files of `scripts/testnet`: the examples hold, what does not hold is said, and nothing is left behind. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRunning } from '../../cli/lib/process.ts'
import type { TestnetState } from '../../cli/testnet/state.ts'
import { root, said, User, type Said } from './cli/fixture.ts'

const examples = readdirSync(join(root, 'scenarios'))
const script = join(root, 'scripts', 'testnet')
const CSV = join(root, 'node_modules', 'vega-datasets', 'data', 'airports.csv')

interface Finding { ok: boolean, what: string, found?: string }

describe('scenarios of a test network', function () {
  this.timeout(300_000)
  let user: User
  let dir: string

  beforeEach(async () => {
    user = await User.make()
    dir = join(user.folder, 'net')
  })

  afterEach(async () => {
    // After a failure in between: whatever is still there by its own record.
    await user.start(['down', '--dir', dir], { script }).ended
    await user.remove()
  })

  const run = async (file: string): Promise<Said> => await user.start(['up', '--scenario', file, '--dir', dir, '--json'], { script }).ended
  const write = async (content: unknown): Promise<string> => {
    const file = join(user.folder, 'scenario.json')
    await mkdir(user.folder, { recursive: true })
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
    return file
  }
  const step = { do: { convert: { input: CSV, to: 'ndjson', args: ['--remote', '--block-size', '20kB'] } } }

  it('there are examples', () => { assert.ok(examples.length >= 3) })

  for (const name of examples) {
    it(`${name} holds`, async () => {
      const { code, stdout, stderr } = await run(join(root, 'scenarios', name))
      assert.equal(code, 0, stderr)
      const { ok, findings } = JSON.parse(stdout) as { ok: boolean, findings: Finding[] }
      assert.equal(ok, true)
      const expected = JSON.parse(await readFile(join(root, 'scenarios', name), 'utf8')) as { expect: unknown[] }
      assert.ok(findings.length >= expected.expect.length)
      assert.match(stderr, /Everything held\./)
    })
  }

  it('what does not hold is said, and exits 1', async () => {
    const file = await write({
      nodes: 2,
      steps: [step, { when: { job: 0, event: { type: 'worker', change: 'lost', peer: 'n1' } }, do: 'start n1' }],
      expect: [{ 'job': 0, 'blocks.remote': { min: 1000 } }, { job: 0, state: 'done' }, { job: 0, output: 'equal' }, { job: 0, output: 'equal', to: 'scenario.json' }, { job: 0, events: [{ type: 'worker', change: 'lost' }] }, { noProcessLeft: true }]
    })
    const { code, stdout, stderr } = await run(file)
    assert.equal(code, 1, stderr)
    const { findings, jobs } = JSON.parse(stdout) as { findings: Finding[], jobs: Array<{ exitCode: number, blocks: { total: number } }> }
    assert.equal(jobs[0]?.exitCode, 0)
    assert.deepEqual(findings.map(({ ok }) => ok), [false, false, true, true, false, false, true], stderr)
    assert.match(findings[0]?.found ?? '', /it ended before job 0 has come to .*lost/)
    assert.equal(findings[1]?.found, String(jobs[0]?.blocks.total))
    assert.match(stderr, /FAILED {2}job 0: blocks\.remote is at least 1000: found \d+\n/)
    assert.match(stderr, /4 of 7 did not hold\.\n$/)
  })

  it('Ctrl-C in the middle ends every process', async () => {
    const file = await write({ nodes: 2, steps: [step, { at: '250s', do: 'kill n1' }], expect: [{ noProcessLeft: true }] })
    const running = user.start(['up', '--scenario', file, '--dir', dir], { script })
    await said(running, /job 0 has ended/)
    const { nodes } = JSON.parse(await readFile(join(dir, 'testnet.json'), 'utf8')) as TestnetState
    running.child.kill('SIGINT')
    const { code, stderr } = await running.ended
    assert.equal(code, 130, stderr)
    assert.match(stderr, /FAILED {2}every step was taken: found interrupted\nok {6}no process is left/)
    assert.deepEqual(nodes.map(({ pid }) => isRunning(pid)), [false, false])
  })

  const good = { nodes: 2, steps: [step], expect: [{ job: 0, state: 'done' }] }
  const bad: Array<[string, unknown, RegExp]> = [
    ['no JSON', '{', /is not valid JSON/],
    ['no steps', { ...good, steps: [] }, /steps: /],
    ['an unknown key', { ...good, step: 1 }, /step/],
    ['an unknown command', { ...good, steps: [{ do: 'explode n1' }] }, /steps\[0\].do: expected a command of scripts\/testnet: kill, .* like "kill n3"/],
    ['a node that is not there', { ...good, steps: [{ do: 'kill n7' }] }, /steps\[0\]\.do: there is no n7: the nodes are n0 to n1/],
    ['a job that is not begun', { ...good, steps: [{ when: { job: 0, blocksDone: 1 }, do: 'kill n1' }, step] }, /steps\[0\]\.when\.job: 0 is not begun by then/],
    ['two conditions', { ...good, steps: [step, { at: '1s', after: '1s', do: 'kill n1' }] }, /one of "at", "after" and "when"/],
    ['a time without a unit', { ...good, steps: [{ at: '1', do: 'kill n1' }] }, /steps\[0\]\.at: expected a time like "2s"/],
    ['a job that never begins', { ...good, expect: [{ job: 1, state: 'done' }] }, /expect\[0\]\.job: there are 1 conversions/],
    ['a command without its node', { ...good, steps: [step, { do: 'kill' }] }, /steps\[1\]\.do: expected one node, like "kill n1"/],
    ['a state that no job has', { ...good, steps: [step, { when: { job: 0, state: 'finished' }, do: 'kill n1' }] }, /steps\[1\]\.when\.state: expected a state of a job/],
    ['an event of a node that is not there', { ...good, expect: [{ job: 0, events: [{ peer: 'n9' }] }] }, /expect\[0\]\.events\[0\]\.peer: there is no n9/],
    ['nothing that must hold', { ...good, expect: [] }, /expect: expected one thing at least/],
    ['steps that are missing', { nodes: 1, expect: [{ noProcessLeft: true }] }, /steps: expected a list of steps/],
    ['an expectation of nothing', { ...good, expect: [{ state: 'done' }] }, /expect\[0\]: expected "job"/],
    ['a bound that is none', { ...good, expect: [{ 'job': 0, 'blocks.total': { most: 1 } }] }, /expect\[0\]\.blocks\.total: /]
  ]
  for (const [what, content, words] of bad) {
    it(`refuses ${what}, in one line, before anything runs`, async () => {
      const { code, stderr } = await user.start(['up', '--scenario', await write(content), '--dir', dir], { script }).ended
      assert.equal(code, 2, stderr)
      assert.match(stderr, /^weft: --scenario: [^\n]+\n$/)
      assert.match(stderr, words)
    })
  }
})
