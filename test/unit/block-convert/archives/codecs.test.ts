import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { compress, decode, type DecodeOptions } from '../../../../daemon/block-convert/archives/codecs.ts'
import { EXPANSION_FLOOR_BYTES } from '../../../../daemon/block-convert/archives/constants.ts'
import { ConversionError, type Encoding } from '../../../../daemon/block-convert/index.ts'
import { coded, ENCODINGS, noise, program, refused, TABLE } from './samples.ts'

async function decoded (bytes: Uint8Array, encoding: Encoding, options: Partial<DecodeOptions> = {}): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(decode({ bytes }, encoding, { name: '\'/x\'', ...options })))
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('archives: codecs', function () {
  this.timeout(60_000)
  /** Of zstd more than is decoded in one call. */
  const large = Buffer.concat([noise(1_500_000), Buffer.from(TABLE)])
  const plain = Buffer.concat([noise(300_000), Buffer.from(TABLE)])

  for (const encoding of ENCODINGS) {
    describe(encoding, () => {
      it('gives back what it compressed, at every level asked for, from file and memory', async () => {
        const folder = await mkdtemp(join(tmpdir(), 'weft-codecs-'))
        try {
          for (const [bytes, level] of [[encoding === 'zstd' ? large : plain, undefined], [Buffer.from(TABLE), 1], [Buffer.alloc(0), 2], [Buffer.from('x'), 9]] as Array<[Buffer, number | undefined]>) {
            const result = await coded(encoding, bytes, level)
            assert.ok((await decoded(result, encoding)).equals(bytes))
            const path = join(folder, `${bytes.length}`)
            await writeFile(path, result)
            assert.ok(Buffer.concat(await Array.fromAsync(decode({ path, size: result.length }, encoding, { name: path }))).equals(bytes))
          }
        } finally {
          await rm(folder, { recursive: true })
        }
      })

      it('refuses what is cut off, wherever, with its name and the bytes there were', async () => {
        const small = await coded(encoding, TABLE)
        for (let length = 0; length < small.length; length += length < 40 || length > small.length - 40 ? 1 : 509) {
          await assert.rejects(decoded(small.subarray(0, length), encoding), refused('bad-input', /^'\/x': its \w+ data .*, after \d+ bytes$/), `${length} of ${small.length}`)
        }
      })

      it('refuses what is followed by something else', async () => {
        const small = await coded(encoding, TABLE)
        for (const more of ['g', 'garbage', 'garbage that is longer than any header there is']) {
          await assert.rejects(decoded(Buffer.concat([small, Buffer.from(more)]), encoding), refused('bad-input', /^'\/x': its \w+ data .*, after \d+ bytes$/), more)
        }
      })

      it('stops a decompression bomb early, unless it is allowed', async () => {
        // Of many streams that are the same, for speed; brotli has only one.
        const streams = encoding === 'brotli' ? 1 : 16
        const each = EXPANSION_FLOOR_BYTES / streams + 1
        const size = streams * each
        const bomb = Buffer.concat(new Array<Buffer>(streams).fill(await coded(encoding, Buffer.alloc(each), encoding === 'xz' ? 0 : 1)))
        let given = 0
        await assert.rejects(async () => {
          for await (const chunk of decode({ bytes: bomb }, encoding, { name: '\'/x\'' })) given += chunk.length
        }, refused('bad-input', new RegExp(`^'/x': its ${bomb.length} bytes of ${encoding} data become more than \\d+ times as many when decompressed, 100 times are allowed; .*--set max_expansion=N`)))
        assert.ok(given <= EXPANSION_FLOOR_BYTES)
        if (encoding === 'zstd') {
          given = 0
          for await (const chunk of decode({ bytes: bomb }, encoding, { name: '\'/x\'', expansion: 1_000_000 })) given += chunk.length
          assert.equal(given, size)
        }
        await assert.rejects(decoded(bomb, encoding, { expansion: 1_000_000, mostBytes: 1000 }), refused('bad-input', /more than 1000 bytes when decompressed, the limit/))
      })

      it('never gives wrong bytes for right ones, nor fails in another way, however a file is damaged', async () => {
        const parts = [await coded(encoding, TABLE.slice(0, 3000)), await coded(encoding, 'tail')]
        // brotli has no checksum and knows no concatenation: only its own structure is checked.
        const bytes = encoding === 'brotli' ? parts[0]! : Buffer.concat(parts)
        const wanted = encoding === 'brotli' ? undefined : Buffer.from(TABLE.slice(0, 3000) + 'tail')
        const place = fc.nat(bytes.length - 1)
        await fc.assert(fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.option(place), fc.option(fc.tuple(place, fc.nat(255))), async (changes, cut, insert) => {
          let damaged = Buffer.from(bytes)
          for (const [at, byte] of changes) damaged[at] = byte
          if (cut != null) damaged = damaged.subarray(0, cut)
          if (insert != null) damaged = Buffer.concat([damaged.subarray(0, insert[0]), Buffer.from([insert[1]]), damaged.subarray(insert[0])])
          try {
            const found = await decoded(damaged, encoding)
            if (wanted != null) assert.ok(found.equals(wanted))
          } catch (error) {
            assert.ok(error instanceof ConversionError, String(error))
          }
        }), { numRuns: 150 })
      })

      it('passes on what its source fails with', async () => {
        const failing = async function * (): AsyncGenerator<Uint8Array> {
          yield noise(100_000)
          throw new RangeError('the disk is gone')
        }
        await assert.rejects(Array.fromAsync(compress(failing(), encoding)), /the disk is gone/)
      })
    })
  }

  it('read all members, frames and streams, also of other programs, empty ones and padding', async () => {
    const pieces = [plain, Buffer.alloc(0), Buffer.from('x'), Buffer.from(TABLE)]
    const wanted = Buffer.concat(pieces)
    for (const [encoding, name] of [['gzip', 'gzip'], ['zstd', 'zstd'], ['xz', 'xz']] as Array<[Encoding, string]>) {
      const ours = await Promise.all(pieces.map(async piece => await coded(encoding, piece)))
      assert.ok((await decoded(Buffer.concat(ours), encoding)).equals(wanted), encoding)
      const theirs = pieces.map(piece => program(name, encoding === 'zstd' ? ['-q', '-c'] : ['-c'], piece))
      if (theirs[0] == null) continue
      assert.ok((await decoded(Buffer.concat(theirs as Buffer[]), encoding)).equals(wanted), `${encoding} by ${name}`)
      assert.ok(program(name, ['-d', '-c'], Buffer.concat(ours))!.equals(wanted), `${encoding} read by ${name}`)
    }
    const gzip = await coded('gzip', 'a')
    assert.equal((await decoded(Buffer.concat([gzip, Buffer.alloc(100_000)]), 'gzip')).toString(), 'a')
    await assert.rejects(decoded(Buffer.concat([gzip, Buffer.alloc(100_000), gzip]), 'gzip'), refused('bad-input', new RegExp(`followed by something else, after ${gzip.length + 100_000} bytes`)))
    const xz = await coded('xz', 'a')
    assert.equal((await decoded(Buffer.concat([xz, Buffer.alloc(8), xz, Buffer.alloc(4)]), 'xz')).toString(), 'aa')
    await assert.rejects(decoded(Buffer.concat([xz, Buffer.alloc(3)]), 'xz'), refused('bad-input', /damaged|cut off/))
    const zstd = await coded('zstd', 'a')
    const skipped = Buffer.concat([hex('5e2a4d18 03000000'), Buffer.from('abc')])
    assert.equal((await decoded(Buffer.concat([skipped, zstd, skipped, zstd, skipped]), 'zstd')).toString(), 'aa')
  })

  it('refuse padding where they are told to', async () => {
    for (const encoding of ['gzip', 'xz'] as const) {
      for (const members of [1, 2]) {
        const bytes = Buffer.concat(await Promise.all(Array.from({ length: members }, async () => await coded(encoding, noise(100_000)))))
        assert.equal((await decoded(bytes, encoding, { padding: 'refuse' })).length, members * 100_000)
        for (const zeros of [4, 100_000]) {
          const padded = Buffer.concat([bytes, Buffer.alloc(zeros)])
          assert.equal((await decoded(padded, encoding)).length, members * 100_000)
          await assert.rejects(decoded(padded, encoding, { padding: 'refuse' }), refused('bad-input', /^'\/x': its \w+ data is .*followed by something else, after \d+ bytes$/))
        }
      }
    }
  })

  it('tell of damage in the middle with name and place, though the rest was not read', async () => {
    for (const encoding of ['gzip', 'zstd'] as const) {
      const bytes = Buffer.concat(await Promise.all(['a', 'b', 'c'].map(async name => await coded(encoding, noise(1_500_000, name)))))
      // Noise is stored as it is, so only the second member's checksum tells.
      bytes[bytes.length >> 1]! ^= 1
      // A reader that takes its time learns of it after the engine has taken its source with it.
      for (const turns of [0, 10]) {
        await assert.rejects(async () => {
          for await (const _ of decode({ bytes }, encoding, { name: '\'/x\'' })) {
            for (let turn = 0; turn < turns; turn++) await setImmediate()
          }
        }, refused('bad-input', new RegExp(`^'/x': its ${encoding} data is damaged \\(.+\\), after [1-9]\\d* bytes$`)), `${encoding} ${turns}`)
      }
    }
  })

  it('read gzip headers with everything in them', async () => {
    const member = await coded('gzip', 'abc')
    const header = Buffer.concat([hex('1f8b08 1c 00000000 00 03'), hex('0400'), Buffer.from('EXTR'), Buffer.from('name.csv\0a comment\0')])
    assert.equal((await decoded(Buffer.concat([header, member.subarray(10), member]), 'gzip')).toString(), 'abcabc')
  })

  it('refuse zstd headers that ask for more than there is', async () => {
    const cases: Array<[string, string, RegExp]> = [
      ['28b52ffd e0 ffffffffffffffff 010000', 'unsupported', /needs a window of \d+ bytes, at most 134217728/],
      ['28b52ffd 00 ff 010000', 'unsupported', /needs a window/],
      ['28b52ffd c0 00 ffffffffffffffff 010000', 'bad-input', /promises 18446744073709552000 bytes and can hold 0/],
      ['28b52ffd 03 00 01020304 010000', 'unsupported', /with a zstd dictionary/],
      ['28b52ffd 08 00 010000', 'bad-input', /reserved bit/],
      ['28b52ffd 20 00 070000', 'bad-input', /no such block/],
      ['28b52ffd 00 00 0000f0', 'bad-input', /no such block/],
      ['28b52ffd 20 00 0000', 'bad-input', /cut off, after 8 bytes/],
      ['502a4d18 ffffffff', 'bad-input', /cut off, after 8 bytes/]
    ]
    for (const [bytes, code, message] of cases) await assert.rejects(decoded(hex(bytes), 'zstd'), refused(code, message), bytes)
    assert.equal((await decoded(hex('28b52ffd 20 00 010000'), 'zstd')).length, 0)
  })

  it('refuse xz that needs much memory', async () => {
    const bytes = program('xz', ['-c', '--lzma2=dict=512MiB'], Buffer.from('x'))
    if (bytes != null) await assert.rejects(decoded(bytes, 'xz'), refused('unsupported', /needs more than 134217728 bytes of memory/))
  })

  it('stop where their reader stops', async () => {
    for (const encoding of ENCODINGS) {
      const source = decode({ bytes: await coded(encoding, plain) }, encoding, { name: 'x' })
      assert.equal((await source.next()).done, false)
      assert.equal((await source.return(undefined)).done, true)
    }
  })
})
