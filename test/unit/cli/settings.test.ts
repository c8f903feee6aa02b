import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convertHelp } from '../../../cli/lib/convert-help.ts'
import { readSettings } from '../../../cli/lib/settings.ts'
import { ARCHIVE_KEYS } from '../../../daemon/block-convert/archives/settings.ts'
import { TABLE_TYPES } from '../../../daemon/block-convert/tables/formats.ts'
import { SETTING_GROUPS } from '../../../daemon/block-convert/tables/setting-list.ts'
import { knownKeys } from '../../../daemon/block-convert/tables/settings.ts'

describe('settings', () => {
  let folder: string
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-settings-')) })
  after(async () => { await rm(folder, { recursive: true }) })

  it('are pairs; the value may hold anything', async () => {
    assert.deepEqual(await readSettings(['a=1', 'quote==', 'type:x y=DECIMAL(1,1)', 'b=']), { a: '1', quote: '=', 'type:x y': 'DECIMAL(1,1)', b: '' })
    for (const pair of ['a', '=b', '']) await assert.rejects(readSettings([pair]), { code: 'usage', message: /key=value/ })
  })

  it('a schema is a file of types, or the types themselves', async () => {
    const file = join(folder, 's.json')
    await writeFile(file, '\ufeff{"id": "BIGINT"}\n')
    assert.deepEqual(await readSettings([`schema=${file}`]), { schema: '{"id": "BIGINT"}\n' })
    assert.deepEqual(await readSettings(['schema={"a=b": "DATE"}']), { schema: '{"a=b": "DATE"}' })
    assert.deepEqual(await readSettings(['schema= [{"name": "a", "type": "DATE"}]']), { schema: ' [{"name": "a", "type": "DATE"}]' })
  })

  it('a schema that cannot be read is named in one line', async () => {
    await writeFile(join(folder, 'bad.json'), 'id,BIGINT\n')
    await assert.rejects(readSettings([`schema=${join(folder, 'none.json')}`]), { code: 'input-unreadable', exit: 1, message: /none\.json: there is no such file/ })
    await assert.rejects(readSettings([`schema=${folder}`]), { code: 'input-unreadable', message: /it is a folder/ })
    await assert.rejects(readSettings([`schema=${join(folder, 'bad.json')}`]), { code: 'usage', message: /bad\.json: the file is not JSON/ })
    await assert.rejects(readSettings(['schema=']), { code: 'usage', message: /names no file/ })
    await writeFile(join(folder, 'large.json'), ' '.repeat(4 * 1024 * 1024 + 1))
    await assert.rejects(readSettings([`schema=${join(folder, 'large.json')}`]), { code: 'usage', message: /no list of column types/ })
  })

  it('in the help are those there are', () => {
    const listed = SETTING_GROUPS.flatMap(({ settings }) => settings.map(({ key }) => key))
    assert.equal(new Set(listed).size, listed.length)
    const formats = [...new Set(TABLE_TYPES.map(({ format }) => format))]
    const known = new Set(['type:NAME', ...ARCHIVE_KEYS, ...formats.flatMap(from => formats.flatMap(to => knownKeys(from, to)))])
    assert.deepEqual(listed.toSorted(), [...known].toSorted())
  })

  it('the help fits the terminal', () => {
    for (const columns of [60, 80, 100, 120, 300]) {
      const long = convertHelp(columns).split('\n').filter(line => line.length > Math.max(columns, 80))
      assert.deepEqual(long, [])
    }
    const help = convertHelp(80)
    for (const question of [/Formats/, /csv\.gz/, /all in one/, /delimiter=/, /encoding=/, /007/, /schema=/, /late/, /ragged/, /nested JSON/, /partition_by/, /compared/]) assert.match(help, question)
  })
})
