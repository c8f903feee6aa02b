import assert from 'node:assert/strict'
import { piecesOf, type Piece } from '../../../../daemon/block-convert/archives/borders.ts'
import { decode } from '../../../../daemon/block-convert/archives/codecs.ts'
import type { Encoding } from '../../../../daemon/block-convert/index.ts'
import { RandomAccess } from '../../../../daemon/block-convert/tables/random-access.ts'
import { blockedMember, coded, noise, program, refused, TABLE } from './samples.ts'

function pieces (bytes: Uint8Array, encoding: Encoding): Piece[] | undefined {
  const found = piecesOf(new RandomAccess({ bytes }), encoding, '\'/x\'')
  return found == null ? undefined : [...found]
}

describe('archives: borders', function () {
  this.timeout(60_000)
  const parts = [noise(300_000, 'a'), Buffer.from(TABLE), Buffer.alloc(0), Buffer.alloc(200_000), Buffer.from('x')]

  async function cutsAreRight (whole: Buffer[], encoding: Encoding, promises: boolean): Promise<void> {
    const bytes = Buffer.concat(whole)
    const found = pieces(bytes, encoding)
    assert.deepEqual(found?.map(({ offset, length }) => [offset, length]), whole.map((part, i) => [whole.slice(0, i).reduce((sum, { length }) => sum + length, 0), part.length]))
    for (const [i, { offset, length, content }] of found!.entries()) {
      const plain = Buffer.concat(await Array.fromAsync(decode({ bytes: bytes.subarray(offset, offset + length) }, encoding, { name: 'x' })))
      assert.ok(plain.equals(parts[i]!))
      if (promises) assert.equal(content, plain.length)
    }
  }

  it('are those of zstd frames', async () => {
    await cutsAreRight(await Promise.all(parts.map(async part => await coded('zstd', part))), 'zstd', true)
    // By a pipe, frames promise nothing.
    const theirs = parts.map(part => program('zstd', ['-q', '-c'], part))
    if (theirs[0] != null) await cutsAreRight(theirs as Buffer[], 'zstd', false)
  })

  it('are those of xz streams, with what pads them', async () => {
    const streams = await Promise.all(parts.map(async part => await coded('xz', part, 0)))
    await cutsAreRight(streams, 'xz', true)
    await cutsAreRight(streams.map((stream, i) => Buffer.concat([stream, Buffer.alloc(4 * i)])), 'xz', true)
    const blocks = program('xz', ['-0', '-c', '--block-size=50000'], parts[0]!)
    if (blocks != null) assert.deepEqual(pieces(Buffer.concat([blocks, blocks]), 'xz')?.map(({ content }) => content), [300_000, 300_000])
  })

  it('are those of members of blocked gzip, and of no other', async () => {
    const members = await Promise.all([1, 2, 3].map(async i => await blockedMember(noise(1000 * i))))
    const bytes = Buffer.concat(members)
    assert.deepEqual(pieces(bytes, 'gzip')?.map(({ length }) => length), members.map(({ length }) => length))
    const other = await coded('gzip', 'other')
    assert.deepEqual(pieces(Buffer.concat([members[0]!, other, members[1]!]), 'gzip')?.length, 2)
    assert.equal(pieces(other, 'gzip'), undefined)
    assert.equal(pieces(Buffer.alloc(0), 'gzip'), undefined)
    assert.equal(pieces(await coded('brotli', 'x'), 'brotli'), undefined)
  })

  it('refuse files that end early or go on, with their name', async () => {
    for (const encoding of ['zstd', 'xz'] as Encoding[]) {
      const two = Buffer.concat([await coded(encoding, TABLE), await coded(encoding, TABLE)])
      for (const cut of [1, 4, 5, 12, 30, 200]) assert.throws(() => pieces(two.subarray(0, -cut), encoding), refused('bad-input', /^'\/x': its \w+ data is (cut off|damaged).*, after \d+ bytes$/), `${encoding} ${cut}`)
      assert.throws(() => pieces(Buffer.concat([two, Buffer.from('more')]), encoding), refused('bad-input', /followed by something else, after \d+ bytes$/))
    }
  })

  it('refuse xz indexes that lie, and do not count to 2^63 for them', async () => {
    const stream = await coded('xz', TABLE)
    const index = stream.length - 12 - (stream.readUInt32LE(stream.length - 8) + 1) * 4
    for (const [at, byte] of [[1, 0xff], [1, 0x7f], [2, 0xff], [0, 1], [2, 0x01]] as Array<[number, number]>) {
      const lying = Buffer.from(stream)
      lying[index + at] = byte
      assert.throws(() => pieces(lying, 'xz'), refused('bad-input', /is damaged \(its index\)/), `${at}: ${byte}`)
    }
    const long = Buffer.from(stream)
    long.writeUInt32LE(0xffffffff, long.length - 8)
    assert.throws(() => pieces(long, 'xz'), refused('bad-input', /an index longer than the file/))
    assert.equal(pieces(Buffer.concat([stream, Buffer.alloc(80_000)]), 'xz'), undefined, 'its decoder judges so much padding')
  })
})
