import assert from 'node:assert/strict'
import fc from 'fast-check'
import { charsetOfHead, looksLikeWestern, textHead } from '../../../daemon/block-convert/charset.ts'
import { transcoder } from '../../../daemon/block-convert/charset-decode.ts'
import { refused } from './archives/samples.ts'
import { CHARSETS, type Charset } from '../../../daemon/block-convert/tables/settings.ts'

/** Text in pieces of these lengths, in turn. */
function transcode (charset: Charset, bytes: Uint8Array, lengths: number[] = [bytes.length || 1]): string {
  const coder = transcoder(charset, '/x')
  const out: Uint8Array[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length]!
    out.push(Buffer.from(coder.push(bytes.subarray(at, at + length))))
    at += length
  }
  coder.end()
  return Buffer.concat(out).toString()
}

const utf16 = (text: string, bigEndian = false): Buffer => bigEndian ? Buffer.from(text, 'utf16le').swap16() : Buffer.from(text, 'utf16le')

describe('charset: reading', () => {
  it('gives any text back from UTF-16, however it is cut', () => {
    // Well-formed ones only: others have no bytes in UTF-8.
    const text = fc.string({ unit: 'binary' }).filter(value => value.isWellFormed() && !value.startsWith('\ufeff'))
    fc.assert(fc.property(text, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }), fc.boolean(), fc.boolean(), (value, lengths, bigEndian, mark) => {
      assert.equal(transcode(bigEndian ? 'utf-16be' : 'utf-16le', utf16((mark ? '\ufeff' : '') + value, bigEndian), lengths), value)
    }), { numRuns: 500 })
  })

  it('knows every byte of the 8-bit sets, by another decoder', () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    assert.equal(transcode('iso-8859-1', all, [7]), Buffer.from(all).toString('latin1'))
    assert.equal(transcode('iso-8859-15', all), new TextDecoder('iso-8859-15').decode(all))
    const assigned = all.filter(byte => ![0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte))
    // As in the standard; some versions of the runtime take windows-1252 for Latin-1.
    const signs = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ'
    const wanted = Array.from(assigned, byte => byte < 0x80 || byte > 0x9f ? String.fromCharCode(byte) : signs[[...assigned].filter(other => other >= 0x80).indexOf(byte)]).join('')
    assert.equal(transcode('windows-1252', assigned, [3]), wanted)
    assert.equal(transcode('utf-8', Buffer.from('é')), 'é')
  })

  it('refuses what is no character, with its byte', () => {
    const cases: Array<[Charset, Uint8Array, RegExp]> = [
      ['windows-1252', Buffer.from('ab\x81', 'latin1'), /byte 0x81 is no character of it, after 2 bytes; say what it is with --set encoding=/],
      ['utf-16le', utf16('ab').subarray(0, 3), /ends within a character, after 2 bytes/],
      ['utf-16le', utf16('a\ud800b'), /half a surrogate pair, after 2 bytes/],
      ['utf-16le', utf16('ab\udc00'), /half a surrogate pair, after 4 bytes/],
      ['utf-16be', utf16('abc\ud83d', true), /ends with half a surrogate pair, after 6 bytes/],
      ['utf-16be', utf16('a\ude00\ud83d', true), /half a surrogate pair, after 2 bytes/]
    ]
    for (const [charset, bytes, message] of cases) {
      for (const lengths of [[1], [2], [3], [100]]) assert.throws(() => transcode(charset, bytes, lengths), refused('bad-input', message), `${charset} ${lengths}`)
    }
  })

  it('counts controls that are mostly quotes of windows-1252', () => {
    const coder = transcoder('iso-8859-1', '/x')
    coder.push(Buffer.from('\x93quoted\x94 caf\xe9', 'latin1'))
    assert.equal(coder.controls(), 2)
  })
})

describe('charset: telling', () => {
  const western = [
    'id,name\n1,café\n2,naïve\n3,Müller\n', 'größer,Straße,Österreich\n', 'prix;€ 3,50\n25°C,“quoted”,it’s\n', 'São Paulo,Ñandú,œuvre,Ærø\n', 'à,é\nñ,1\n', '½,¼,£5,10 µm,§ 3,©\n'
  ]
  const latin = (text: string): Buffer => {
    const signs: Record<string, string> = { '€': '\x80', '“': '\x93', '”': '\x94', '’': '\x92', œ: '\x9c' }
    return Buffer.from(text.replaceAll(/[€“”’œ]/g, sign => signs[sign]!), 'latin1')
  }

  it('takes words and signs of western languages for windows-1252', () => {
    for (const text of western) assert.ok(looksLikeWestern([latin(text)]), text)
    for (const text of western) assert.equal(transcode('windows-1252', latin(text)), text)
  })

  it('takes nothing else for it', () => {
    const others: Array<[string, Uint8Array]> = [
      ['UTF-8', Buffer.from(western.join(''))],
      ['ASCII', Buffer.from('a,b\n')],
      ['two stray bytes', Buffer.concat([Buffer.from('a,b\n1,x'), Buffer.from([0xff, 0xfe]), Buffer.from('y\n')])],
      ['UTF-8 with one broken character', Buffer.concat([Buffer.from(western.join('')), Buffer.from([0xe9, 0x20])])],
      ['Cyrillic in windows-1251', Buffer.from('cfeee7e4f0e0e2ebfff52c20ece8f00a', 'hex')],
      ['Shift JIS', Buffer.from('93fa967b8cea2c83658358836781410a', 'hex')],
      ['GBK', Buffer.from('d6d0cec42cb2e2cad40a', 'hex')],
      ['Polish in ISO 8859-2', Buffer.from('zaz\xf3\xb3\xe6 g\xea\xb6l\xb1 ja\xbc\xf1, pi\xb1tek \xb3\xf3dka\n', 'latin1')],
      ['code page 437', Buffer.from('caf\x82,M\x81ller,na\x8bve\n', 'latin1')],
      ['Mac Roman', Buffer.from('caf\x8e,M\x9fller,na\x95ve,stra\xa7e\n', 'latin1')],
      ['zeros', Buffer.from('caf\xe9\0', 'latin1')],
      ['noise', Buffer.from('a7f3819c02e4d8b1ff90ce7743aa', 'hex')]
    ]
    for (const [what, bytes] of others) assert.equal(looksLikeWestern([bytes]), false, what)
    // The windows of one file are judged together.
    assert.equal(looksLikeWestern([latin(western[0]!), Buffer.from(western.join(''))]), false)
    // A window may begin and end within a character.
    assert.equal(looksLikeWestern([Buffer.from('aéé').subarray(0, -1), Buffer.from('éab').subarray(1)]), false)
  })

  it('knows UTF-16 and UTF-32 by their marks, and UTF-16 by its zeros', () => {
    assert.equal(charsetOfHead(utf16('\ufeffа,б\n')), 'utf-16le')
    assert.equal(charsetOfHead(utf16('\ufeffа,б\n', true)), 'utf-16be')
    assert.equal(charsetOfHead(utf16('a,b\n1,2\n')), 'utf-16le')
    assert.equal(charsetOfHead(utf16('a,b\n1,2\n', true)), 'utf-16be')
    assert.equal(charsetOfHead(utf16('имя,город,страна\nИван,Москва,\n')), 'utf-16le')
    assert.equal(charsetOfHead(utf16('编号,名称\n1,一二三\n2,一个\n')), 'utf-16le')
    assert.equal(charsetOfHead(utf16('编号,名称\n1,一二三\n2,一个\n', true)), 'utf-16be')
    assert.equal(charsetOfHead(Buffer.from('fffe000061000000', 'hex')), 'utf-32')
    assert.equal(charsetOfHead(Buffer.from('0000feff00000061', 'hex')), 'utf-32')
    for (const bytes of [Buffer.from('a,b\n'), Buffer.from('a\0b\0\0c'), Buffer.alloc(8), Buffer.from('a,b\n1,x\0y\n'), Buffer.alloc(0), Buffer.from('\ufeffa')]) assert.equal(charsetOfHead(bytes), undefined, bytes.toString('hex'))
  })

  it('makes UTF-8 of a beginning, to tell what it is', () => {
    const text = (bytes: Uint8Array, named = false): string => Buffer.from(textHead(bytes, named)).toString()
    assert.equal(text(utf16('\ufeffa,é\n')), 'a,é\n')
    assert.equal(text(latin('a,é\n1,ü\n').subarray(0)), 'a,é\n1,ü\n')
    const strange = Buffer.from([0x61, 0xff, 0xfe, 0x0a])
    assert.ok(Buffer.from(textHead(strange, false)).equals(strange))
    assert.equal(text(strange, true), 'aÿþ\n')
    for (const charset of CHARSETS) assert.equal(typeof transcoder(charset, '/x').push, 'function')
    // Cut at 64 KiB, perhaps within a character: whole lines are enough.
    const long = utf16('\ufeffa,b\n'.padEnd(40_000, 'é,1\n')).subarray(0, 65_536)
    assert.ok(text(long).endsWith('\n'))
  })
})
