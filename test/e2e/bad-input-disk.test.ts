/** A disk that fills up in the middle: a small tmpfs in a mount namespace of the command's own, with an embedded node. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCsv } from '../fixtures/csv.ts'
import { requires } from '../fixtures/requires.ts'
import { run, startTestnet, type Testnet } from '../fixtures/testnet.ts'

const weft = join(import.meta.dirname, '..', '..', 'bin', 'weft')

/** Bytes of the input: some times more than the disk takes, in blocks that arrive one after the other. */
const BYTES = 1_500_000
const DISK_BYTES = 600_000
const BLOCK = '100kB'

/** Mounts the disk, converts onto it, and lists what is then on it. */
const SCRIPT = `
mount -t tmpfs -o size=$DISK_BYTES tmpfs "$DISK" || exit 99
"$NODE" "$WEFT" convert "$INPUT" --to csv -o "$DISK/out.csv" $PLACE --block-size ${BLOCK} --json
code=$?
ls -A "$DISK" > "$LISTING"
exit $code
`

describe('a disk that is full in the middle', function () {
  this.timeout(60_000)
  requires('userns', 'that a disk that fills up in the middle leaves nothing behind')
  let testnet: Testnet
  let base: string
  let input: string

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'weft-disk-'))
    input = join(base, 'in.csv')
    writeCsv(input, BYTES, 3)
    testnet = await startTestnet({ nodes: 3, seed: 32 })
  })

  after(async () => {
    await testnet?.down()
    if (base != null) await rm(base, { recursive: true, force: true })
  })

  for (const place of ['--local', '--remote']) {
    it(`is one line, exit 1, and nothing on the disk (${place})`, async () => {
      const folder = await mkdtemp(join(base, 'run-'))
      const [disk, home, listing] = [join(folder, 'disk'), join(folder, 'home'), join(folder, 'listing')]
      await mkdir(disk)
      await mkdir(home)
      const [first] = testnet.nodes
      const { network } = JSON.parse(await readFile(join(first!.dataDir, 'config.json'), 'utf8')) as { network: string }
      await writeFile(join(home, 'config.json'), JSON.stringify({ network, trust: { everyone: true }, bootstrap: testnet.nodes.flatMap(({ multiaddrs }) => multiaddrs) }))
      const { code, stdout, stderr } = await run('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', SCRIPT], {
        env: { NODE: process.execPath, WEFT: weft, WEFT_HOME: home, DISK: disk, DISK_BYTES: String(DISK_BYTES), INPUT: input, PLACE: place, LISTING: listing }
      })
      assert.equal(code, 1, `${stderr}\n${stdout}`)
      assert.match(stderr, /^weft: [^\n]*(no space left|disk is full)[^\n]*\n$/)
      assert.match((JSON.parse(stdout) as { error: { code: string } }).error.code, /^output-unwritable$/)
      assert.equal(await readFile(listing, 'utf8'), '')
    })
  }
})
