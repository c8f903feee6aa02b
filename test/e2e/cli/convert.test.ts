import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { JobReport } from '../../../daemon/coordinator/index.ts'
import { User } from './fixture.ts'

describe('command line, converting for real with a node of its own', function () {
  this.timeout(120_000)
  let user: User
  beforeEach(async () => { user = await User.make() })
  afterEach(async () => { await user.remove() })

  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(join(user.folder, name, '..'), { recursive: true })
    await writeFile(join(user.folder, name), text)
  }
  const files = async (folder: string): Promise<string[]> =>
    (await readdir(join(user.folder, folder), { recursive: true, withFileTypes: true })).filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name).slice(join(user.folder, folder).length + 1)).toSorted()

  it('an output divided by values is a folder, replaced only by one of its kind and only when asked', async () => {
    await write('in.csv', 'id,country,zip\n1,DE,007\n2,"a/b",12\n3,DE,\n4,,9\n')
    const convert = async (...more: string[]): ReturnType<User['run']> => await user.run(['convert', 'in.csv', '--to', 'csv', '-o', 'out', '--set', 'partition_by=country', '--verify', 'all', '--json', ...more])
    const first = await convert()
    assert.equal(first.code, 0, first.stderr)
    const wanted = ['country=DE/data-0.csv', 'country=__HIVE_DEFAULT_PARTITION__/data-0.csv', 'country=a%2Fb/data-0.csv']
    assert.deepEqual(await files('out'), wanted)
    assert.equal(await readFile(join(user.folder, 'out', wanted[0]!), 'utf8'), 'id,zip\n1,007\n3,\n')
    const report = JSON.parse(first.stdout) as JobReport
    assert.deepEqual(report.outputs.map(({ path }) => path), [join(user.folder, 'out')])
    assert.equal(report.outputs[0]?.bytes, 16 + 12 + 11)
    assert.ok(report.notes.some(({ code }) => code === 'partitioned'))

    const again = await convert()
    assert.equal(again.code, 1)
    assert.equal((JSON.parse(again.stdout) as { error: { code: string } }).error.code, 'output-exists')
    await write('out/notes.txt', 'precious')
    const refused = await convert('--overwrite')
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /cannot replace .*'notes\.txt'/)
    assert.deepEqual(await files('out'), [...wanted, 'notes.txt'])
    assert.deepEqual((await readdir(user.folder)).filter(name => name.startsWith('.')), [])
  })

  it('a folder of odd names becomes one output each, told in order; one that fails does not stop the others', async () => {
    for (const name of ['sp ace.csv', '-dash.csv', 'quo\'te".csv', 'new\nline.csv', 'ümläut.csv']) await write(`in/${name}`, 'a,b\n1,x\n')
    await write('in/broken.csv', 'a,b\n1,"x\n')
    await write('in/skipped.txt', 'not a table by its name')
    const { code, stdout, stderr } = await user.run(['convert', 'in', '--to', 'ndjson', '-o', 'out/'])
    assert.equal(code, 1)
    assert.deepEqual(await files('out'), ['-dash.ndjson', 'new\nline.ndjson', 'quo\'te".ndjson', 'sp ace.ndjson', 'ümläut.ndjson'])
    assert.deepEqual(stdout.trim().split('\n').map(line => /^✓ (.*?) → /.exec(line)?.[1]), ['-dash.csv', 'new\\nline.csv', 'quo\'te".csv', 'sp ace.csv', 'ümläut.csv'])
    assert.equal(stderr.split('\n').filter(line => line.startsWith('weft: ')).length, 1, stderr)
    assert.match(stderr, /broken\.csv/)
  })

  it('names tell the types and compressions of both ends', async () => {
    await write('in.tsv', 'a\tb\n1\tx,y\n')
    const compressed = await user.run(['convert', 'in.tsv', '-o', 'out.csv.gz'])
    assert.equal(compressed.code, 0, compressed.stderr)
    assert.ok(gunzipSync(await readFile(join(user.folder, 'out.csv.gz'))).toString().includes('x,y'))
    const back = await user.run(['convert', 'out.csv.gz', '-o', 'back.tsv', '--set', 'type:a=VARCHAR'])
    assert.equal(back.code, 0, back.stderr)
    assert.equal(await readFile(join(user.folder, 'back.tsv'), 'utf8'), 'a\tb\n1\tx,y\n')
  })

  it('a pipe whose reader has enough is the end, and a good one', async () => {
    await write('in.csv', `id,text\n${Array.from({ length: 40_000 }, (_, i) => `${i},some words that fill the pipe\n`).join('')}`)
    const { child, ended } = user.start(['convert', 'in.csv', '--to', 'ndjson', '-o', '-'], { env: { TMPDIR: user.folder } })
    const [first] = await once(child.stdout!, 'data') as [Buffer]
    child.stdout!.destroy()
    const { code, stderr } = await ended
    assert.equal(first.toString().split('\n')[0], '{"id":0,"text":"some words that fill the pipe"}')
    assert.equal(code, 0, stderr)
    assert.doesNotMatch(stderr, /weft: /)
    assert.deepEqual((await readdir(user.folder)).filter(name => name.startsWith('weft-')), [])
  })
})
