/**
 * Run on a small tmpfs of its own: fills it up under a database of which several handles are in use, makes room again, and says as JSON what was told
 * durable and what of it is there after the database was opened anew. Arguments: the folder, the seed, the number of rounds.
 */
import { createHash } from 'node:crypto'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openDataDir } from '../../../daemon/store/index.ts'

const [, , disk = '', seed = '', rounds = '1'] = process.argv
let drawn = 0
const below = (limit: number): number => createHash('sha256').update(`${seed}/${drawn++}`).digest().readUInt32BE() % limit
const verdict = { durable: 0, lost: 0, corrupt: 0, failed: 0, refusedAfterRoom: [] as string[], messages: [] as string[], readsWhileFull: 0 }

for (let round = 0; round < Number(rounds); round++) {
  const home = join(disk, `data-${round}`)
  const kept = new Map<string, number>()
  const dir = await openDataDir(home, { reserveBytes: 0 })
  const journal = dir.journal('jobs')
  const other = dir.db.sublevel<string, Uint8Array>('peers', { keyEncoding: 'utf8', valueEncoding: 'view' })
  const append = async (key: string, size: number): Promise<void> => {
    await journal.append(key, Buffer.alloc(size, size % 251))
    kept.set(key, size)
  }
  for (let i = below(20); i >= 0; i--) await append(`before/${i}`, below(9000))
  await other.put('k', Buffer.from('v'), {})
  const { bavail, bsize } = statfsSync(disk)
  writeFileSync(join(disk, 'filler'), Buffer.alloc(Math.max(0, bavail - below(4)) * bsize))
  for (let i = 0; i < 6; i++) {
    // In turns the journal and somebody else, whose failed write must not cost the journal anything.
    const writing = i % 2 === 0 ? append(`full/${i}`, below(9000)) : other.put(`full/${i}`, Buffer.alloc(below(9000)), {})
    await writing.catch((error: unknown) => {
      verdict.failed++
      verdict.messages.push((error as Error).message)
    })
    if (await other.get('k') != null) verdict.readsWhileFull++
    for await (const _ of journal.entries('before/')) break
  }
  rmSync(join(disk, 'filler'))
  for (let i = 0; i < 20; i++) await append(`after/${i}`, below(3000)).catch((error: unknown) => { verdict.refusedAfterRoom.push((error as Error).message) })
  await dir.close()
  const again = await openDataDir(home, { reserveBytes: 0 })
  const found = new Map<string, Uint8Array>()
  for await (const [key, value] of again.journal('jobs').entries('')) found.set(key, value)
  verdict.durable += kept.size
  for (const [key, size] of kept) {
    const value = found.get(key)
    if (value == null) verdict.lost++
    else if (Buffer.compare(value, Buffer.alloc(size, size % 251)) !== 0) verdict.corrupt++
  }
  await again.close()
  await rm(home, { recursive: true })
}
process.stdout.write(JSON.stringify(verdict))
