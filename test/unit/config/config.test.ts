import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { z } from 'zod'
import { type Config, ConfigError, configJsonSchema, loadConfig, offers, resolvePaths, validateConfig } from '../../../daemon/config/index.ts'
import { describeIssue } from '../../../daemon/config/issues.ts'
import { encodeJoinString } from '../../../daemon/config/join-string.ts'
import { jsonFaultAt } from '../../../daemon/config/json-fault.ts'
import { variableOf } from '../../../daemon/config/load.ts'
import { leaves } from '../../../daemon/config/schema.ts'
import { editDistance, nearest } from '../../../daemon/config/suggest.ts'

const root = join(import.meta.dirname, '../../..')
const PEER = '/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

const withConverters = (converters: Partial<Config['converters']>): Pick<Config, 'converters'> => ({ converters: { disable: [], only: [], ...converters } })

async function refused (load: Promise<unknown>): Promise<ConfigError> {
  try {
    await load
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    assert.doesNotMatch(error.message, /\n/, 'one line')
    return error
  }
  assert.fail('not refused')
}

describe('config', () => {
  let folder: string
  let env: Record<string, string>

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-config-'))
    env = { WEFT_HOME: folder }
  })

  afterEach(async () => { await rm(folder, { recursive: true }) })

  const file = async (content: unknown, name = 'config.json'): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  }

  describe('where values come from', () => {
    it('flag > variable > --config file > file of the folder > default', async () => {
      const defaults = await loadConfig({ env })
      assert.equal(defaults.config.api.port, 0)
      assert.deepEqual(defaults.origins['api.port'], { from: 'default' })
      assert.equal(defaults.file, undefined)

      const usual = await file({ api: { port: 1 }, network: 'from-file' })
      const fromFile = await loadConfig({ env })
      assert.equal(fromFile.config.api.port, 1)
      assert.deepEqual(fromFile.origins['api.port'], { from: 'file', detail: usual })

      const named = await file({ api: { port: 2 } }, 'named.json')
      const fromNamed = await loadConfig({ env, configFile: named })
      assert.equal(fromNamed.config.api.port, 2)
      assert.equal(fromNamed.config.network, 'default', 'the named file replaces the usual one')
      assert.equal((await loadConfig({ env: { ...env, WEFT_CONFIG: named } })).config.api.port, 2)

      const fromEnv = await loadConfig({ env: { ...env, WEFT_API_PORT: '3' }, configFile: named })
      assert.equal(fromEnv.config.api.port, 3)
      assert.deepEqual(fromEnv.origins['api.port'], { from: 'env', detail: 'WEFT_API_PORT' })

      const fromFlag = await loadConfig({ env: { ...env, WEFT_API_PORT: '3' }, configFile: named, flags: { 'api.port': '4', network: undefined } })
      assert.equal(fromFlag.config.api.port, 4)
      assert.deepEqual(fromFlag.origins['api.port'], { from: 'flag', detail: '--api-port' })
      assert.deepEqual(fromFlag.origins.network, { from: 'default' })
    })

    it('every leaf has an origin, and a variable of its own', async () => {
      const { config: loaded, origins } = await loadConfig({ env })
      const paths = [...leaves().keys()]
      assert.deepEqual(Object.keys(origins), paths)
      assert.equal(new Set(paths.map(variableOf)).size, paths.length)
      assert.equal(variableOf('executor.memoryBytes'), 'WEFT_EXECUTOR_MEMORY_BYTES')
      assert.ok(!('slots' in loaded.executor), 'automatic values are left out')
    })

    it('variables take the type of their key', async () => {
      const { config } = await loadConfig({
        env: { ...env, WEFT_LISTEN: '/ip4/127.0.0.1/tcp/0, /ip4/0.0.0.0/tcp/4001', WEFT_TRUST_EVERYONE: 'true', WEFT_EXECUTOR_SLOTS: '3', WEFT_EXECUTOR_STALL_MS: 'auto', WEFT_PRICES_PER_HOUR: '250000', WEFT_BOOTSTRAP: PEER, WEFT_LOG_LEVEL: '' }
      })
      assert.deepEqual(config.listen, ['/ip4/127.0.0.1/tcp/0', '/ip4/0.0.0.0/tcp/4001'])
      assert.equal(config.trust.everyone, true)
      assert.equal(config.executor.slots, 3)
      assert.ok(!('stallMs' in config.executor))
      assert.equal(config.prices.perHour, '250000')
      assert.deepEqual(config.bootstrap, [PEER])
      assert.equal(config.log.level, 'info', 'an empty variable is as good as none')
    })
  })

  describe('what is refused, and how', () => {
    it('an unknown key names its path and the nearest one', async () => {
      const cases: Array<[unknown, string, string]> = [
        [{ nework: 'a' }, 'nework', 'network'],
        [{ api: { prot: 1 } }, 'api.prot', 'api.port'],
        [{ port: 1 }, 'port', 'api.port'],
        [{ executor: { memorybytes: 1 } }, 'executor.memorybytes', 'executor.memoryBytes'],
        [{ apiPort: 1 }, 'apiPort', 'api.port'],
        [{ trust: { everybody: true } }, 'trust.everybody', 'trust.everyone']
      ]
      for (const [content, key, near] of cases) {
        const path = await file(content)
        const error = await refused(loadConfig({ env }))
        assert.ok(error.message.startsWith(`${path}: unknown key '${key}'`), error.message)
        assert.ok(error.message.endsWith(`did you mean '${near}'?`), error.message)
        assert.equal(error.details.key, key)
      }
      await file({ zzzzzzzzzz: 1 })
      assert.doesNotMatch((await refused(loadConfig({ env }))).message, /did you mean/)
    })

    it('an ill-typed key names its path, what was expected and what was found', async () => {
      const cases: Array<[unknown, string, RegExp]> = [
        [{ api: { port: 'x' } }, 'api.port', /expected a number, found "x"/],
        [{ api: { port: 1.5 } }, 'api.port', /expected a whole number, found 1.5/],
        [{ api: { port: 65536 } }, 'api.port', /expected 65535 or less, found 65536/],
        [{ api: 3 }, 'api', /expected an object in braces, found 3/],
        [{ api: { host: '0.0.0.0' } }, 'api.host', /stays on this machine, found "0.0.0.0"/],
        [{ trust: { everyone: 'yes' } }, 'trust.everyone', /expected true or false, found "yes"/],
        [{ listen: ['tcp://x'] }, 'listen[0]', /expected a multiaddr.*, found "tcp:\/\/x"/],
        [{ listen: '/ip4/127.0.0.1/tcp/0' }, 'listen', /expected a list/],
        [{ bootstrap: ['/ip4/1.2.3.4/tcp/1'] }, 'bootstrap[0]', /ends in \/p2p/],
        [{ executor: { slots: 0 } }, 'executor.slots', /expected 1 or more|expected a whole number or "auto"/],
        [{ policy: { cpuShare: 0 } }, 'policy.cpuShare', /expected more than 0, found 0/],
        [{ executor: { sandbox: 'maybe' } }, 'executor.sandbox', /expected one of "auto", "require", "off"/],
        [{ prices: { perHour: 1 } }, 'prices.perHour', /expected text, found 1/],
        [{ prices: { perHour: '1.5' } }, 'prices.perHour', /whole number/],
        [{ network: 'Two Words' }, 'network', /lower-case/],
        [{ trust: { peers: ['bob'] } }, 'trust.peers[0]', /peer id/],
        [{ peers: { deny: ['bob'] } }, 'peers.deny[0]', /did:key/],
        [{ policy: { hours: ['always'] } }, 'policy.hours[0]', /hours of UTC like/],
        [{ policy: { minPrice: '5' } }, 'prices.perHour', /asks less \(0\) than policy\.minPrice \(5\)/],
        [{ log: null }, 'log', /expected an object in braces, found null/]
      ]
      for (const [content, key, words] of cases) {
        const path = await file(content)
        const error = await refused(loadConfig({ env }))
        assert.ok(error.message.startsWith(`${path}: ${key}`), error.message)
        assert.match(error.message, words)
        assert.equal(error.details.key, key)
      }
    })

    it('never shows the secret, nor a join string that holds it', async () => {
      const secret = 'x'.repeat(42)
      const joinString = `weft1-${secret}`
      const cases: Array<[unknown, RegExp]> = [
        [{ secret }, /expected 32 bytes.*, found \(42 characters, not shown\)$/],
        [{ secret: [secret] }, /expected text, found \(not shown\)$/],
        [{ secret: 4 }, /expected text, found \(not shown\)$/],
        [{ bootstrap: joinString }, /expected a list, found \(48 characters, not shown\)$/],
        [{ bootstrap: [` ${joinString}`] }, /found \(49 characters, not shown\)$/],
        [{ bootstrap: { first: joinString } }, /expected a list, found \{"first":"\(48 characters, not shown\)"\}$/],
        [{ network: joinString.toUpperCase().replace('WEFT', 'weft') }, /found \(48 characters, not shown\)$/]
      ]
      for (const [content, words] of cases) {
        await file(content)
        const { message, details } = await refused(loadConfig({ env }))
        assert.match(message, words)
        assert.doesNotMatch(message + JSON.stringify(details), /xxx/i)
      }
      // A fault of the whole names no key.
      const whole = describeIssue(new z.ZodError([{ code: 'custom', message: 'expected more', path: [], input: undefined }]), { secret }, [])
      assert.doesNotMatch(JSON.stringify(whole), /xxx/)
    })

    it('config set says where it wrote the secret and a join string, not what they are', async () => {
      const path = await file({})
      const joinString = encodeJoinString({ network: 'default', secret: 'x'.repeat(43), addresses: [PEER] })
      for (const [args, words] of [
        [['secret', 'x'.repeat(42)], /found \(42 characters, not shown\)/],
        [['secret', 'x'.repeat(43)], /secret is \(43 characters, not shown\) in/],
        [['bootstrap', joinString], new RegExp(`bootstrap is \\["\\(${joinString.length} characters, not shown\\)"\\] in`)],
        [['bootstrap', `[${joinString}`], /the value of bootstrap is not valid JSON/]
      ] as const) {
        const { stdout, stderr } = spawnSync(process.execPath, [join(root, 'bin/weft'), 'config', 'set', ...args, '--config', path], { env: { ...process.env, ...env }, encoding: 'utf8' })
        assert.match(stderr, words)
        assert.doesNotMatch(stdout + stderr, /xxx|weft1-/)
      }
    })

    it('a wrong variable or flag is named as such', async () => {
      assert.match((await refused(loadConfig({ env: { ...env, WEFT_API_PORT: 'x' } }))).message, /^WEFT_API_PORT: api\.port: expected a number, found "x"$/)
      assert.match((await refused(loadConfig({ env: { ...env, WEFT_LISTEN: 'a,b' } }))).message, /^WEFT_LISTEN: listen\[0\]/)
      assert.match((await refused(loadConfig({ env, flags: { 'api.port': 70_000 } }))).message, /^--api-port: api\.port: expected 65535 or less/)
      assert.match((await refused(loadConfig({ env: { ...env, WEFT_API_PROT: '1' } }))).message, /unknown variable WEFT_API_PROT: did you mean 'WEFT_API_PORT'\?/)
      await loadConfig({ env: { ...env, WEFT_TEST_REQUIRE: 'bwrap', WEFT_BENCH_X: '1' } })
    })

    it('a file that is no JSON names the line', async () => {
      for (const [text, line] of [['{\n  "network": "a",\n  "api": { "port": }\n}', 3], ['{\n  "network": "a"\n', 2], ['', 1], ['{\n\n"a" 1}', 3], ['{\n"a": 1,\n}', 3], ['{\n"a": "x\ny"}', 2], ['{}\n{}', 2], ['{ "a": [1,\n2,\n] }', 3]] as const) {
        const path = await file(text)
        const error = await refused(loadConfig({ env }))
        assert.ok(error.message.startsWith(`${path}, line ${line}: not valid JSON`), error.message)
        assert.equal(error.details.line, line)
      }
      await file('[1]')
      assert.match((await refused(loadConfig({ env }))).message, /expected an object/)
    })

    it('a file named by hand must be there; the usual one may be missing', async () => {
      assert.match((await refused(loadConfig({ env, configFile: join(folder, 'gone.json') }))).message, /gone\.json: there is no such file/)
      assert.match((await refused(loadConfig({ env, configFile: folder }))).message, /it is a folder/)
      await loadConfig({ env })
    })

    it('faults and seeds outside a test network', async () => {
      for (const test of [{ faults: ['wrong'] }, { seed: 'abc' }]) {
        await file({ network: 'real', test })
        assert.match((await refused(loadConfig({ env }))).message, /test networks only.*'real'/)
        await file({ network: 'testnet-a', test })
        await loadConfig({ env })
        // The network of the flag counts, not the one of the file.
        assert.match((await refused(loadConfig({ env, flags: { network: 'real' } }))).message, /test networks only/)
      }
    })

    it('never anything but a ConfigError, whatever the file holds', async () => {
      const known = [...leaves().keys()].flatMap(path => path.split('.'))
      await fc.assert(fc.asyncProperty(fc.object({ key: fc.oneof(fc.constantFrom(...known), fc.string()), maxDepth: 3 }), async tree => {
        try {
          validateConfig(tree, 'x.json')
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error))
          assert.ok(error.message.startsWith('x.json: '))
        }
      }), { numRuns: 300 })
    })
  })

  describe('the example', () => {
    it('validates, names every key, and shows the defaults', async () => {
      const tree = JSON.parse(await readFile(join(root, 'config.example.json'), 'utf8'))
      const config = validateConfig(tree, 'config.example.json')
      const { config: defaults } = await loadConfig({ env })
      assert.deepEqual(config, { ...defaults, network: 'example' })
      assert.equal(tree.$schema, './config.schema.json')
      for (const path of leaves().keys()) {
        let at = tree
        for (const key of path.split('.')) {
          assert.ok(key in at, `${path} is missing`)
          at = at[key]
        }
      }
    })

    it('has the schema of the code beside it (bin/weft config schema > config.schema.json)', async () => {
      const committed = await readFile(join(root, 'config.schema.json'), 'utf8')
      assert.equal(committed, `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    })

    it('every key of the schema is described', () => {
      const undescribed: string[] = []
      const walk = (schema: any, path: string): void => {
        for (const [key, value] of Object.entries<any>(schema.properties ?? {})) {
          if (key !== '$schema' && value.description == null) undescribed.push(path + key)
          walk(value, `${path}${key}.`)
        }
      }
      walk(configJsonSchema(), '')
      assert.deepEqual(undescribed, [])
    })
  })

  it('folders: WEFT_HOME puts everything in one, XDG ones otherwise, relative XDG ones do not count', async () => {
    assert.deepEqual(resolvePaths({ WEFT_HOME: '/w', XDG_DATA_HOME: '/d' }), { dataDir: '/w', configFile: '/w/config.json', cacheDir: '/w/cache' })
    assert.deepEqual(resolvePaths({ XDG_DATA_HOME: '/d', XDG_CONFIG_HOME: '/c', XDG_CACHE_HOME: '/k' }), { dataDir: '/d/weft', configFile: '/c/weft/config.json', cacheDir: '/k/weft' })
    const usual = resolvePaths({})
    assert.deepEqual(resolvePaths({ WEFT_HOME: '', XDG_DATA_HOME: 'relative' }), usual)
    await mkdir(join(folder, 'weft'))
    await writeFile(join(folder, 'weft', 'config.json'), '{ "network": "xdg" }')
    assert.equal((await loadConfig({ env: { XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder } })).config.network, 'xdg')
  })

  it('converters: all but the disabled, or the listed only', () => {
    assert.equal(offers(withConverters({}), 'table/csv-parquet'), true)
    assert.equal(offers(withConverters({ disable: ['table/csv-parquet'] }), 'table/csv-parquet'), false)
    assert.equal(offers(withConverters({ disable: ['table/*'] }), 'table/csv-parquet'), false)
    assert.equal(offers(withConverters({ disable: ['table/csv'] }), 'table/csv-parquet'), true)
    assert.equal(offers(withConverters({ only: ['table/csv-parquet'] }), 'table/csv-ndjson'), false)
    assert.equal(offers(withConverters({ only: ['table/*'], disable: ['table/csv-*'] }), 'table/csv-ndjson'), false)
    assert.equal(offers(withConverters({ only: ['table/*'], disable: ['table/csv-*'] }), 'table/ndjson-csv'), true)
  })

  it('the place where JSON stops being JSON: at the end of every valid text, before it for a spoilt one', () => {
    fc.assert(fc.property(fc.json(), fc.nat(), fc.constantFrom('}', ']', ',', ':', '"', 'x', '{', '\n'), (text, place, put) => {
      assert.equal(jsonFaultAt(text), text.length)
      const at = place % (text.length + 1)
      const spoilt = text.slice(0, at) + put + text.slice(at)
      let valid = true
      try {
        JSON.parse(spoilt)
      } catch {
        // The engine's verdict is what the scanner is compared with.
        valid = false
      }
      const fault = jsonFaultAt(spoilt)
      if (valid) assert.equal(fault, spoilt.length)
      else if (fault < spoilt.length) assert.throws(() => { JSON.parse(spoilt.slice(0, fault + 1)) })
    }))
  })

  it('edit distance is a metric', () => {
    const word = fc.string({ maxLength: 12 })
    fc.assert(fc.property(word, word, word, (a, b, c) => {
      assert.equal(editDistance(a, b), editDistance(b, a))
      assert.equal(editDistance(a, b) === 0, a === b)
      assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c))
    }))
    assert.equal(nearest('statsu', ['start', 'stop', 'status']), 'status')
    assert.equal(nearest('x', ['start']), undefined)
  })
})
