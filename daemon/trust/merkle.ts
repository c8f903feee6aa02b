/**
 * Merkle trees in the form of RFC 6962 over sha2-256: leaves and nodes are hashed under different prefixes, so no node
 * can be passed off as a leaf. One signature over a root covers a whole batch, and each leaf keeps its path to it.
 */
import { createHash, hash, type Hash } from 'node:crypto'

/** Bytes of one chunk of a large output: the leaf of such an output is the root over its chunks. */
export const LEAF_CHUNK_BYTES = 1 << 20

const LEAF = 0x00
const NODE = 0x01
const HASH_BYTES = 32

/** Leaves up to this size are prefixed in one reused buffer: one call of the hash, nothing allocated but the result. */
const scratch = Buffer.alloc(4096)
const node = Buffer.alloc(1 + 2 * HASH_BYTES)
node[0] = NODE

/** sha2-256(0x00 || bytes) */
export function leafHash (bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength >= scratch.byteLength) return createHash('sha256').update(Uint8Array.of(LEAF)).update(bytes).digest()
  scratch[0] = LEAF
  scratch.set(bytes, 1)
  return hash('sha256', scratch.subarray(0, 1 + bytes.byteLength), 'buffer')
}

function nodeHash (left: Uint8Array, right: Uint8Array): Uint8Array {
  node.set(left, 1)
  node.set(right, 1 + HASH_BYTES)
  return hash('sha256', node, 'buffer')
}

/** A node without a sibling moves up as it is: the same tree as RFC 6962's largest-power-of-two split. */
function levelAbove (level: Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (let i = 0; i < level.length; i += 2) {
    const right = level[i + 1]
    above.push(right == null ? level[i]! : nodeHash(level[i]!, right))
  }
  return above
}

/** The root over leaf *hashes* (32 bytes each, of `leafHash`); of no leaves the hash of nothing. */
export function merkleRoot (leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return hash('sha256', new Uint8Array(0), 'buffer')
  let level = leaves
  while (level.length > 1) level = levelAbove(level)
  return level[0]!
}

/** The siblings from a leaf up to the root. Throws RangeError if there is no such leaf. */
export function merklePath (leaves: Uint8Array[], index: number): Uint8Array[] {
  if (!Number.isInteger(index) || index < 0 || index >= leaves.length) throw new RangeError(`no leaf ${index} among ${leaves.length}`)
  const path: Uint8Array[] = []
  let level = leaves
  let at = index
  while (level.length > 1) {
    const sibling = level[at ^ 1]
    if (sibling != null) path.push(sibling)
    level = levelAbove(level)
    at >>>= 1
  }
  return path
}

/** Whether `leaf` (a leaf hash) is number `index` of `count` leaves under `root`. False for anything malformed. */
export function verifyPath (leaf: Uint8Array, index: number, count: number, path: Uint8Array[], root: Uint8Array): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(count) || index < 0 || index >= count || leaf.byteLength !== HASH_BYTES) return false
  let value = leaf
  let at = index
  let width = count
  let used = 0
  while (width > 1) {
    const alone = at === width - 1 && at % 2 === 0
    if (!alone) {
      const sibling = path[used++]
      if (sibling == null || sibling.byteLength !== HASH_BYTES) return false
      value = at % 2 === 0 ? nodeHash(value, sibling) : nodeHash(sibling, value)
    }
    at = Math.floor(at / 2)
    width = Math.ceil(width / 2)
  }
  return used === path.length && Buffer.compare(value, root) === 0
}

/** The leaf of a large output, taken in as it streams by. */
export interface ChunkedLeaf {
  update: (bytes: Uint8Array) => void
  /** The root over the leaf hashes of the 1 MiB chunks seen. Ends the leaf. */
  digest: () => Uint8Array
}

/** A root over the chunks of `LEAF_CHUNK_BYTES` of a stream, whatever pieces it comes in. */
export function chunkedLeaf (chunkBytes = LEAF_CHUNK_BYTES): ChunkedLeaf {
  const leaves: Uint8Array[] = []
  let current: Hash | undefined
  let room = 0
  return {
    update (bytes) {
      let at = 0
      while (at < bytes.byteLength) {
        if (current == null) {
          current = createHash('sha256').update(Uint8Array.of(LEAF))
          room = chunkBytes
        }
        const taken = Math.min(room, bytes.byteLength - at)
        current.update(taken === bytes.byteLength ? bytes : bytes.subarray(at, at + taken))
        at += taken
        room -= taken
        if (room === 0) {
          leaves.push(current.digest())
          current = undefined
        }
      }
    },
    digest () {
      if (current != null) leaves.push(current.digest())
      current = undefined
      return merkleRoot(leaves)
    }
  }
}
