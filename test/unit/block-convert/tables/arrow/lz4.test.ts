import assert from 'node:assert/strict'
import { unpackLz4Frame } from '../../../../../daemon/block-convert/tables/arrow/lz4.ts'

/** What the lz4 program (1.9.4, -BD -B4: blocks of 64 KiB that refer to those before) made of `text`. */
const PACKED = 'BCJNGERAXkkDAACwcm93IDAgb2YgMDsLABYxCwAWMgsAFjMLABY0CwAWNQsAFjYLAA9NAP///////////////////////////7oRMQAWAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAUIWAgsAD00A////////////////////////////rxEyABYB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAPTQD///////////////////////////+vETMAFgH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAA9NAP///////////////////////////68RNAAWAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAD00A////////////////////////////rxE1ABYB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAPTQD///////////////////////////+vETYAFgH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAA9NAP///////////////////////////68RNwAWAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAD00A////////////////////////////rxE4ABYB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAPTQD///////////////////////////+vETkAFgH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAA9NAP///////////////////////////68SMQHcAfYVAwwAAfcVAwwAAfgVAwwAAfkVAwwAAfoVAwwAAfsVAwwAAfwVAwwAD1QA//////////////////////////////+qArTdAvQXAgwAAvQXAgwAAvQXAgwAAvQXAgwAAvQXAgwAAvQXAgwAAvQXAgwAD1QA//////////////+PUGYgMTE7uAEAAA/QC////////////////wMCtN8C9BcCDAAC9BcCDAAC9BcCDAAC9BcCDAAC9BcCDAAC9BcCDAAC9BcCDAAPVAD//////////////////////////////6kC/0cB8xcCCwAB8hcCCwAB8RcCCwAB8BcCCwAB7xcCCwAB7hcCCwAB7RcCCwAPTQD///////////////////////////+vAqtFAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAD00A////////////////////////////rwKrQwH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAAH1FQILAA9NAP///////////////////////////68WMwCgAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAfUVAgsAAUIWAgsAD00A////////////////////////////pBE0ABYBqBUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAB9RUCCwAPTQD///////////////9PUCBvZiA0AAAAAOmxlLo='
const text = Array.from({ length: 9000 }, (_, i) => `row ${i % 7} of ${(i >> 9) % 13}`).join(';')

describe('arrow-lz4', () => {
  const packed = Buffer.from(PACKED, 'base64')

  it('unpacks a frame of blocks that refer to one another', () => {
    assert.equal(Buffer.from(unpackLz4Frame(packed, text.length)).toString(), text)
  })

  it('unpacks an empty frame, and bytes that are stored as they are', () => {
    const header = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])
    assert.deepEqual(unpackLz4Frame(Buffer.concat([header, Buffer.alloc(4)]), 0), new Uint8Array(0))
    assert.deepEqual(unpackLz4Frame(Buffer.concat([header, Buffer.from([3, 0, 0, 0x80, 1, 2, 3]), Buffer.alloc(4)]), 3), new Uint8Array([1, 2, 3]))
  })

  it('refuses a frame of another size than announced, without growing', () => {
    for (const size of [0, 1, text.length - 1, text.length + 1]) assert.throws(() => unpackLz4Frame(packed, size), { name: 'Malformed' })
  })

  it('refuses a frame that is cut off anywhere', () => {
    for (let end = 0; end < packed.length - 4; end++) assert.throws(() => unpackLz4Frame(packed.subarray(0, end), text.length), { name: 'Malformed' }, `cut at ${end}`)
  })

  it('refuses what is no frame, or needs a dictionary, or refers to bytes before its beginning', () => {
    const frame = (...block: number[]): Uint8Array => Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, block.length, 0, 0, 0, ...block, 0, 0, 0, 0])
    assert.deepEqual(unpackLz4Frame(frame(0x10, 65, 1, 0, 0x00), 5), new Uint8Array([65, 65, 65, 65, 65]))
    assert.throws(() => unpackLz4Frame(frame(0x10, 65, 2, 0, 0x00), 5), /before its beginning/)
    assert.throws(() => unpackLz4Frame(frame(0x10, 65, 0, 0, 0x00), 5), /before its beginning/)
    assert.throws(() => unpackLz4Frame(frame(0x1f, 65, 1, 0, 255, 255, 255), 5), { name: 'Malformed' })
    assert.throws(() => unpackLz4Frame(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), 5), /no LZ4 frame/)
    assert.throws(() => unpackLz4Frame(Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x61, 0x40, 0x82, 0]), 5), /dictionary/)
  })
})
