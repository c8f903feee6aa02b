import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root, User } from './fixture.ts'

describe('command line, without a daemon', function () {
  this.timeout(60_000)
  let user: User
  before(async () => { user = await User.make() })
  after(async () => { await user.remove() })

  const cases: Array<[string[], number, RegExp]> = [
    [[], 2, /no verb given/],
    [['conver'], 2, /unknown command 'conver': did you mean convert\?/],
    [['status', '--jsn'], 2, /unknown option '--jsn': did you mean --json\?/],
    [['convert'], 2, /input/],
    [['convert', 'a.csv'], 2, /--to/],
    [['convert', '--to', 'parquet'], 2, /missing required argument 'input'/],
    [['convert', 'a.csv', '--to', 'parquet', '--local', '--remote'], 2, /--local and --remote exclude each other/],
    [['convert', 'a.csv', '--to', 'parquet', '--block-size', '16XB'], 2, /--block-size: '16XB' is not a size/],
    [['convert', 'a.csv', '--to', 'parquet', '--deadline', 'soon'], 2, /--deadline: 'soon' is not a time/],
    [['convert', 'a.csv', '--to', 'parquet', '--verify', 'most'], 2, /--verify: 'most' is none of/],
    [['convert', 'a.csv', '--to', 'parquet', '--set', 'novalue'], 2, /--set: 'novalue' is not of the form key=value/],
    [['convert', '-', '--to', 'parquet', '-o', 'x'], 2, /--from/],
    [['convert', '*.nothing', '--to', 'parquet'], 2, /no file matches this pattern/],
    [['convert', 'a.csv', '--to', 'parquet', '--detach'], 3, /--detach.*weft start/],
    [['status'], 3, /no daemon is running for .*: start one with 'weft start'/],
    [['stop'], 3, /no daemon is running/],
    [['nodes'], 3, /no daemon is running/],
    [['prices'], 3, /no daemon is running/],
    [['capabilities'], 3, /no daemon is running/],
    [['peers', 'bans'], 3, /no daemon is running/],
    [['peers', 'bna'], 2, /unknown verb 'bna' below peers: one of list, connect, ban, unban, bans/],
    [['prices', 'set', '0,25'], 2, /'0,25' is no amount: write a whole number of 10\^-6 units, like 250000, or units with a decimal point, like 0\.25/],
    [['jobs', 'list'], 3, /no daemon is running/],
    [['jobs', 'shw'], 2, /one of list, show, watch, cancel/],
    [['start', '--network', 'Not A Name'], 2, /--network: network: expected lower-case letters/],
    [['start', '--api-port', '99999'], 2, /--api-port: api\.port: expected 65535 or less/],
    [['start', '--listen', 'tcp://x'], 2, /--listen: listen\[0\]: expected a multiaddr/],
    [['start', '--config', 'gone.json'], 2, /gone\.json: there is no such file/],
    [['init', '--network', 'testnet-x'], 2, /weft testnet up/],
    [['config', 'get', 'api.prt'], 2, /did you mean 'api\.port'\?/],
    [['config', 'validate', 'gone.json'], 2, /no such file/],
    [['testnet', 'status', '--dir', 'nowhere'], 1, /no test network in/],
    [['testnet', 'up', '--nodes', '0'], 2, /--nodes: '0' is not a whole number from 1/],
    [['completion', 'csh'], 2, /bash, zsh or fish/]
  ]
  for (const [args, exit, words] of cases) {
    it(`weft ${args.join(' ')} is one line and exit ${exit}`, async () => {
      const { code, stderr, stdout } = await user.run(args)
      assert.equal(code, exit, stderr)
      assert.match(stderr, words)
      assert.equal(stdout, '')
      if (args.length > 0) assert.match(stderr, /^weft: [^\n]+\n$/)
    })
  }

  it('with --json an error is an object on standard output, too', async () => {
    for (const [args, code] of [[['status', '--json'], 'no-daemon'], [['nodes', '--json', '--odd'], 'usage'], [['start', '--json', '--network', 'A'], 'bad-configuration']] as const) {
      const { error } = JSON.parse((await user.run([...args])).stdout) as { error: { code: string, message: string, details: object } }
      assert.equal(error.code, code)
      assert.equal(typeof error.message, 'string')
      assert.equal(typeof error.details, 'object')
    }
  })

  it('help of everything, version, completion that shells accept', async () => {
    const { stdout, code } = await user.run(['--help'])
    assert.equal(code, 0)
    const verbs = [...stdout.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name as string)
    assert.ok(verbs.length >= 12, verbs.join())
    for (const verb of verbs) {
      const help = await user.run([verb, '--help'])
      assert.equal(help.code, 0, verb)
      assert.match(help.stdout, new RegExp(`^Usage: weft ${verb}`))
      assert.equal(help.stderr, '')
    }
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    assert.equal((JSON.parse((await user.run(['--version', '--json'])).stdout) as { version: string }).version, version)
    const bash = (await user.run(['completion', 'bash'])).stdout
    for (const word of ['convert', '--block-size', 'unpause', '--latency-band', 'capabilities', 'unban', '--unit']) assert.ok(bash.includes(word), word)
    for (const shell of ['zsh', 'fish']) assert.match((await user.run(['completion', shell])).stdout, /convert/)
  })

  it('configuration: set, get, show with origins, validate', async () => {
    const file = join(user.folder, 'my.json')
    assert.equal((await user.run(['config', 'set', 'api.port', '7400', '--config', file])).code, 0)
    assert.equal((await user.run(['config', 'set', 'listen', '/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2', '--config', file])).code, 0)
    const refused = await user.run(['config', 'set', 'api.port', 'many', '--config', file])
    assert.equal(refused.code, 2)
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { api: { port: 7400 }, listen: ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'] })
    assert.equal((await user.run(['config', 'get', 'api.port', '--config', file])).stdout, '7400\n')
    assert.equal((await user.run(['config', 'get', 'api.port', '--config', file], { env: { WEFT_API_PORT: '1' } })).stdout, '1\n')
    const shown = (await user.run(['config', 'show', '--origin', '--config', file], { env: { WEFT_LOG_LEVEL: 'warn' } })).stdout
    assert.match(shown, new RegExp(`api\\.port +7400 +file ${file}`))
    assert.match(shown, /log\.level +warn +env WEFT_LOG_LEVEL/)
    assert.match(shown, /network +default +default/)
    assert.equal((await user.run(['config', 'validate', file])).code, 0)
    await writeFile(file, '{\n "api": {\n')
    const broken = await user.run(['config', 'validate', file])
    assert.equal(broken.code, 2)
    assert.match(broken.stderr, /my\.json, line 2: not valid JSON/)
  })

  it('the price of a node that does not run is written to its configuration, and what overrides it is told', async () => {
    const file = join(user.folder, 'priced.json')
    const { code, stderr } = await user.run(['prices', 'set', '1.5', '--unit', 'euro', '--config', file], { env: { WEFT_PRICES_PER_HOUR: '9' } })
    assert.equal(code, 0, stderr)
    assert.equal(stderr, `weft: this node asks 1.5 euro (1500000 µeuro) per resource hour from its next start on; written to ${file}; but WEFT_PRICES_PER_HOUR says otherwise, and wins at the next start\n`)
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { prices: { perHour: '1500000', unit: 'euro' } })
    const json = await user.run(['prices', 'set', '0', '--json'], { env: { WEFT_CONFIG: file } })
    assert.deepEqual(JSON.parse(json.stdout), { price: '0', unit: 'euro', running: false, file })
  })

  it('the committed example is valid for the program itself', async () => {
    assert.equal((await user.run(['config', 'validate', join(root, 'config.example.json')])).code, 0)
  })
})
