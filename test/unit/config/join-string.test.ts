import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { decodeJoinString, encodeJoinString, loadConfig } from '../../../daemon/config/index.ts'

const ADDRESS = '/ip4/192.0.2.7/tcp/7400/p2p/12D3KooWF66GbBgscZgKdyyH2RF9wjzcQqGfJ3rVbTpWLgx1N1vv'
const SECRET = Buffer.alloc(32, 7).toString('base64url')

describe('join strings', () => {
  it('say what they were made of', () => {
    fc.assert(fc.property(fc.string(), fc.option(fc.string(), { nil: undefined }), fc.array(fc.string(), { maxLength: 16 }), (network, secret, addresses) => {
      assert.deepEqual(decodeJoinString(encodeJoinString({ network, ...(secret === undefined ? {} : { secret }), addresses })), { network, ...(secret === undefined ? {} : { secret }), addresses })
    }))
  })

  it('are refused in one way, whatever is wrong with them', () => {
    const good = encodeJoinString({ network: 'n', secret: SECRET, addresses: [ADDRESS] })
    const of = (value: unknown): string => `weft1-${Buffer.from(JSON.stringify(value)).toString('base64url')}`
    for (const text of ['', 'weft1-', good.slice(0, -10), good.slice(1), of(null), of([]), of({ network: 1, addresses: [] }), of({ network: 'n' }), of({ network: 'n', addresses: [1] }), of({ network: 'n', secret: 1, addresses: [] }), of({ network: 'n', addresses: Array(17).fill(ADDRESS) }), good + 'A'.repeat(9000)]) {
      assert.throws(() => decodeJoinString(text), { name: 'ConfigError', message: /no join string/ }, text.slice(0, 40))
    }
  })

  it('stand for network, secret and addresses in the configuration, from any source', async () => {
    const home = await mkdtemp(join(tmpdir(), 'weft-config-'))
    try {
      const string = encodeJoinString({ network: 'lab', secret: SECRET, addresses: [ADDRESS] })
      const flag = await loadConfig({ env: { WEFT_HOME: home }, flags: { bootstrap: [string] } })
      assert.deepEqual([flag.config.network, flag.config.secret, flag.config.bootstrap, flag.origins.secret?.from], ['lab', SECRET, [ADDRESS], 'flag'])
      assert.deepEqual(flag.config.listen, ['/ip4/0.0.0.0/tcp/0'], 'members are on other machines')
      await writeFile(join(home, 'config.json'), JSON.stringify({ bootstrap: [string, ADDRESS], listen: ['/ip4/127.0.0.1/tcp/0'] }))
      const file = await loadConfig({ env: { WEFT_HOME: home } })
      assert.deepEqual([file.config.network, file.config.secret, file.config.bootstrap, file.config.listen], ['lab', SECRET, [ADDRESS, ADDRESS], ['/ip4/127.0.0.1/tcp/0']])
      await writeFile(join(home, 'config.json'), JSON.stringify({ network: 'other' }))
      await assert.rejects(loadConfig({ env: { WEFT_HOME: home }, flags: { bootstrap: [string] } }), /the join string is for network 'lab'/)
      await writeFile(join(home, 'config.json'), JSON.stringify({ secret: Buffer.alloc(32, 8).toString('base64url') }))
      await assert.rejects(loadConfig({ env: { WEFT_HOME: home }, flags: { bootstrap: [string] } }), /another secret/)
      await assert.rejects(loadConfig({ env: { WEFT_HOME: home, WEFT_SECRET: 'short' } }), /WEFT_SECRET: secret: expected 32 bytes/)
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })
})
