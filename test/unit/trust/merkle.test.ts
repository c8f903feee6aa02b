import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { chunkedLeaf, leafHash, merklePath, merkleRoot, verifyPath } from '../../../daemon/trust/merkle.ts'

const sha = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** RFC 6962 section 2.1, word for word. */
function naiveRoot (leaves: Uint8Array[]): Buffer {
  if (leaves.length === 0) return sha()
  if (leaves.length === 1) return Buffer.from(leaves[0]!)
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return sha(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

function naivePath (leaves: Uint8Array[], index: number): Uint8Array[] {
  if (leaves.length === 1) return []
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return index < k ? [...naivePath(leaves.slice(0, k), index), naiveRoot(leaves.slice(k))] : [...naivePath(leaves.slice(k), index - k), naiveRoot(leaves.slice(0, k))]
}

const blobs = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 70 })

describe('merkle', () => {
  it('gives the roots of the test vectors of Certificate Transparency', () => {
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
    const roots = [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'
    ]
    const leaves = inputs.map(hex => leafHash(Buffer.from(hex, 'hex')))
    roots.forEach((root, i) => { assert.equal(Buffer.from(merkleRoot(leaves.slice(0, i + 1))).toString('hex'), root) })
    assert.equal(Buffer.from(merkleRoot([])).toString('hex'), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })

  it('hashes small and large leaves alike', () => {
    for (const size of [0, 1, 4094, 4095, 4096, 4097, 100_000]) {
      const bytes = Buffer.alloc(size, 7)
      assert.deepEqual(Buffer.from(leafHash(bytes)), sha(Uint8Array.of(0), bytes))
    }
  })

  it('equals the recursive definition, roots and paths', () => {
    fc.assert(fc.property(blobs, fc.nat(), (inputs, pick) => {
      const leaves = inputs.map(leafHash)
      const index = pick % leaves.length
      assert.deepEqual(Buffer.from(merkleRoot(leaves)), naiveRoot(leaves))
      const path = merklePath(leaves, index)
      assert.deepEqual(path.map(p => Buffer.from(p)), naivePath(leaves, index).map(p => Buffer.from(p)))
      assert.ok(verifyPath(leaves[index]!, index, leaves.length, path, merkleRoot(leaves)))
    }))
  })

  it('accepts no other leaf, index, count, path or root', () => {
    fc.assert(fc.property(blobs, fc.nat(), fc.nat(), fc.nat({ max: 4 }), (inputs, pick, other, kind) => {
      const leaves = inputs.map((bytes, i) => leafHash(Buffer.concat([Uint8Array.of(i), bytes])))
      const index = pick % leaves.length
      const root = merkleRoot(leaves)
      const path = merklePath(leaves, index)
      const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((b, i) => i === other % bytes.length ? b ^ 1 : b)
      switch (kind) {
        case 0: assert.equal(verifyPath(flipped(leaves[index]!), index, leaves.length, path, root), false); break
        case 1: {
          const wrong = other % (leaves.length + 2)
          if (wrong !== index) assert.equal(verifyPath(leaves[index]!, wrong, leaves.length, path, root), false)
          break
        }
        case 2: assert.equal(verifyPath(leaves[index]!, index, leaves.length, [...path, root], root), false); break
        case 3: if (path.length > 0) assert.equal(verifyPath(leaves[index]!, index, leaves.length, path.slice(1), root), false); break
        default: assert.equal(verifyPath(leaves[index]!, index, leaves.length, path, flipped(root)), false)
      }
    }))
  })

  it('does not take a node for a leaf', () => {
    const leaves = [leafHash(Buffer.from('a')), leafHash(Buffer.from('b'))]
    const asLeaf = leafHash(Buffer.concat(leaves))
    assert.notDeepEqual(Buffer.from(asLeaf), Buffer.from(merkleRoot(leaves)))
  })

  it('refuses malformed proofs and indexes without throwing, and paths of leaves that are not there', () => {
    const leaf = leafHash(Buffer.from('a'))
    assert.equal(verifyPath(leaf, -1, 1, [], leaf), false)
    assert.equal(verifyPath(leaf, 0.5, 1, [], leaf), false)
    assert.equal(verifyPath(leaf, 0, 0, [], leaf), false)
    assert.equal(verifyPath(leaf.subarray(1), 0, 1, [], leaf), false)
    assert.equal(verifyPath(leaf, 0, 2, [leaf.subarray(1)], leaf), false)
    assert.throws(() => merklePath([leaf], 1), RangeError)
    assert.throws(() => merklePath([leaf], 0.5), RangeError)
  })

  it('makes the same chunked leaf of a stream however it is cut', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 }), (bytes, cuts) => {
      const chunked = chunkedLeaf(64)
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const step = cuts[i % cuts.length]!
        chunked.update(bytes.subarray(at, at + step))
        at += step
      }
      const expected: Uint8Array[] = []
      for (let at = 0; at < bytes.length; at += 64) expected.push(leafHash(bytes.subarray(at, at + 64)))
      assert.deepEqual(Buffer.from(chunked.digest()), Buffer.from(merkleRoot(expected)))
    }))
  })
})
