import assert from 'node:assert/strict'
import { mutated, mutatedValue, randomOf } from '../../fuzz/messages/mutate.ts'
import { fuzz, type Target } from '../../fuzz/messages/run.ts'
import { allTargets } from '../../fuzz/messages/targets.ts'

/** Messages per decoder: enough to show that it is wired; the long run is `npm run fuzz:messages`. */
const COUNT = 200
const SIGNED_COUNT = 30

class OwnError extends Error {}

/** A decoder of one letter, with faults to plant. */
function target (decode: (bytes: Uint8Array) => unknown): Target {
  return { name: 'planted', maxBytes: 64, corpus: [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 9)], decode, errors: [OwnError] }
}

describe('fuzzing of messages', function () {
  this.timeout(60_000)

  it('finds nothing in a small run of every decoder', async () => {
    const targets = await allTargets()
    assert.equal(new Set(targets.map(({ name }) => name)).size, targets.length)
    for (const one of targets) {
      const { finding, accepted, refused } = await fuzz(one, { count: one.name.endsWith('-signed') ? SIGNED_COUNT : COUNT, seed: 1 })
      assert.equal(finding, undefined, JSON.stringify(finding))
      assert.ok(accepted >= one.corpus.length)
      // Decoders that may refuse do, or the mutants are none.
      assert.equal(refused > 0, one.errors.length > 0, one.name)
    }
  })

  it('finds another error than the module\'s own, with the input that brings it about', async () => {
    const planted = target(bytes => {
      if (bytes[0] !== 1) throw new OwnError('not mine')
      if (bytes.byteLength > 3) throw new TypeError('planted')
    })
    const { finding } = await fuzz(planted, { count: 10_000, seed: 5 })
    assert.ok(finding != null)
    assert.match(finding.what, /^threw TypeError: planted/)
    const bytes = Uint8Array.from(Buffer.from(finding.hex, 'hex'))
    assert.throws(() => planted.decode(bytes, randomOf(1)), TypeError)
    assert.deepEqual(await fuzz(planted, { count: 10_000, seed: 5 }).then(again => again.finding?.hex), finding.hex)
  })

  it('finds a rejected promise, and a corpus that is refused', async () => {
    const rejecting = await fuzz(target(async () => { throw new RangeError('planted') }), { count: 10, seed: 1 })
    assert.match(rejecting.finding?.what ?? '', /^threw RangeError/)
    const refusing = await fuzz(target(() => { throw new OwnError('all') }), { count: 10, seed: 1 })
    assert.match(refusing.finding?.what ?? '', /^refused a valid message/)
  })

  it('finds messages that stay in memory', async () => {
    const kept: Uint8Array[] = []
    const { finding } = await fuzz(target(() => { kept.push(new Uint8Array(32 * 1024)) }), { count: 1000, seed: 1 })
    assert.match(finding?.what ?? '', /^the heap grew by \d+ bytes$/)
  })

  it('tells whoever watches what is decoded next', async () => {
    const seen: number[] = []
    await fuzz(target(() => {}), { count: 5, seed: 1, before: index => { seen.push(index) } })
    assert.deepEqual(seen, [0, 1, 2, 3, 4])
  })

  it('mutates alike with the same seed, within the length, and leaves the original as it was', () => {
    const from = Uint8Array.from({ length: 20 }, (_, i) => i)
    const draw = (seed: number): string[] => {
      const random = randomOf(seed)
      return Array.from({ length: 300 }, () => {
        const bytes = mutated(random, from, [from, Uint8Array.of(250)], 40)
        assert.ok(bytes.byteLength <= 40)
        return Buffer.from(bytes).toString('hex')
      })
    }
    assert.deepEqual(draw(3), draw(3))
    assert.notDeepEqual(draw(3), draw(4))
    assert.ok(new Set(draw(3)).size > 200)
    assert.deepEqual(from, Uint8Array.from({ length: 20 }, (_, i) => i))
    const value = { a: [1, { b: 'x' }], c: Uint8Array.of(1) }
    const random = randomOf(1)
    for (let i = 0; i < 500; i++) mutatedValue(random, value)
    assert.deepEqual(value, { a: [1, { b: 'x' }], c: Uint8Array.of(1) })
  })
})
