import assert from 'node:assert/strict'
import { SNIFF_BYTES } from '../../../../daemon/block-convert/constants.ts'
import { ARROW_FILE, ARROW_STREAM, CSV, JSON_ARRAY, NDJSON, PARQUET } from '../../../../daemon/block-convert/tables/constants.ts'
import { sniffTable } from '../../../../daemon/block-convert/tables/sniff.ts'

const sniff = (content: string | Uint8Array, extension = ''): string | undefined => sniffTable(typeof content === 'string' ? Buffer.from(content) : content, extension)

describe('tables: what a file is', () => {
  it('goes by content first', () => {
    for (const extension of ['', 'json', 'csv', 'dat']) {
      assert.equal(sniff('PAR1 ...', extension), PARQUET)
      assert.equal(sniff('ARROW1\0\0', extension), ARROW_FILE)
      assert.equal(sniff('{"a":1}\n{"a":2}\n', extension), NDJSON)
      assert.equal(sniff(' [ {"a": 1},', extension), JSON_ARRAY)
      assert.equal(sniff('\ufeff[{}]', extension), JSON_ARRAY)
    }
    assert.equal(sniff('{"a":1}', 'json'), NDJSON)
    assert.equal(sniff(`{"a":"${'x'.repeat(SNIFF_BYTES)}`.slice(0, SNIFF_BYTES), 'json'), NDJSON)
  })

  it('tells JSON over several lines from lines of JSON', () => {
    for (const [content, extension] of [['{\n "a": 1\n}', 'json'], ['{\n "a": 1\n}', ''], ['{"a":\n1}', 'jsonl'], ['{"a":1}{"a":2}', 'json'], ['[1,2]', 'json'], ['[[1]]', 'ndjson'], ['[]', 'json']] as const) assert.equal(sniff(content, extension), JSON_ARRAY, content)
    // Its reader says what is wrong where.
    assert.equal(sniff('{"a":x}\n', 'ndjson'), NDJSON)
    assert.equal(sniff('"a"\n', 'jsonl'), NDJSON)
    assert.equal(sniff('nonsense', 'json'), JSON_ARRAY)
  })

  it('leaves texts that only begin like JSON what they are called', () => {
    for (const [content, extension] of [['[2020-01-01] started\n', 'txt'], ['[1,2\n', 'csv'], ['{x},y\n', 'csv'], ['["a",b]\n', 'tsv'], ['{\n', 'csv']] as const) assert.equal(sniff(content, extension), CSV, content)
    assert.equal(sniff('[2020-01-01] started\n[2020-01-02] ended\n'), undefined)
    assert.equal(sniff('{not json}\n'), undefined)
  })

  it('goes by the name where content does not say', () => {
    for (const extension of ['csv', 'tsv', 'tab', 'txt']) assert.equal(sniff('a', extension), CSV)
    for (const [extension, type] of [['ndjson', NDJSON], ['jsonl', NDJSON], ['json', JSON_ARRAY], ['parquet', PARQUET], ['pq', PARQUET], ['arrow', ARROW_FILE], ['feather', ARROW_FILE], ['arrows', ARROW_STREAM]] as const) assert.equal(sniff('', extension), type)
    assert.equal(sniff('a,b\n1,2\n'), CSV)
    assert.equal(sniff('a text\nof words\n'), undefined)
    assert.equal(sniff('a,b\n1,2\n', 'md'), undefined)
  })

  it('takes a table in another character set for what it is called', () => {
    const utf16 = Buffer.from('\ufeffa,b\n1,2\n', 'utf16le')
    for (const bytes of [utf16, utf16.subarray(2), Buffer.from(utf16).swap16(), Buffer.from('name\nJos\xe9\n', 'latin1')]) {
      for (const [extension, type] of [['csv', CSV], ['tsv', CSV], ['txt', CSV], ['tab', CSV], ['ndjson', NDJSON], ['jsonl', NDJSON], ['json', JSON_ARRAY]] as const) assert.equal(sniff(bytes, extension), type)
      assert.equal(sniff(bytes), undefined)
    }
  })

  it('tells Arrow streams by their first message', () => {
    const stream = Buffer.alloc(16)
    stream.writeUInt32LE(0xffffffff)
    stream.writeInt32LE(128, 4)
    assert.equal(sniff(stream, 'arrow'), ARROW_STREAM)
    assert.equal(sniff(stream, 'arrows'), ARROW_STREAM)
    assert.equal(sniff(stream, 'bin'), undefined)
    for (const size of [0, -8, 7, 2 ** 30]) {
      stream.writeInt32LE(size, 4)
      assert.equal(sniff(stream, 'arrow'), ARROW_FILE)
    }
    assert.equal(sniff(stream.subarray(0, 7), 'arrow'), ARROW_FILE)
  })

  it('reads no half of a character as another character set', () => {
    const text = Buffer.from(`a,b\n${'é'.repeat(SNIFF_BYTES)}`)
    for (let length = 100; length < 104; length++) assert.equal(sniff(text.subarray(0, length), 'csv'), CSV)
  })
})
