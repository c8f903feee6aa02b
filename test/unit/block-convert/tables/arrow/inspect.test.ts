/** The always-on check: what we write passes, whatever else is told from it. */
import assert from 'node:assert/strict'
import { CompressionType, Schema } from 'apache-arrow'
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file'
import { BodyCompression, BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { END_OF_STREAM, encapsulate, schemaMessage } from '../../../../../daemon/block-convert/tables/arrow/container.ts'
import { inspectArrow } from '../../../../../daemon/block-convert/tables/arrow/inspect.ts'
import { arrowMerger } from '../../../../../daemon/block-convert/tables/arrow/merge.ts'
import { arrowFields } from '../../../../../daemon/block-convert/tables/arrow/types.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'

const columns: Column[] = [{ name: 'n', type: 'INTEGER' }, { name: 't', type: 'VARCHAR' }]
const parameters = (container: 'file' | 'stream', of = columns): TableParameters => ({ columns: of, source: { format: 'csv', dialect: { delimiter: ',', quote: '"', escape: '"', header: true } }, target: { format: 'arrow', container } })
const schema = schemaMessage(arrowFields(columns))

interface Shape { rows: number, nodes: Array<[number, number]>, buffers: Uint8Array[], codec?: boolean, metadata?: Map<string, string>, gap?: number }
const int32 = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer)
const none = new Uint8Array(0)
/** Rows (1, 'ab'), (NULL, ''), (3, 'c'). */
const good: Shape = { rows: 3, nodes: [[3, 1], [3, 0]], buffers: [Uint8Array.of(0b101), int32(1, 0, 3), none, int32(0, 2, 2, 3), Buffer.from('abc')] }

function message ({ rows, nodes, buffers, codec, metadata, gap = 0 }: Shape): Uint8Array {
  const pieces: Uint8Array[] = []
  let at = gap
  pieces.push(new Uint8Array(gap))
  const regions = buffers.map(buffer => {
    const region = new BufferRegion(at, buffer.length)
    const size = Math.ceil(buffer.length / 8) * 8
    pieces.push(buffer, new Uint8Array(size - buffer.length))
    at += size
    return region
  })
  const batch = new RecordBatch(rows, nodes.map(([length, nulls]) => new FieldNode(length, nulls)), regions, codec === true ? new BodyCompression(CompressionType.ZSTD) : null, [], metadata)
  return Buffer.concat([encapsulate(Message.encode(Message.from(batch, at))), ...pieces])
}

const part = (...shapes: Shape[]): Uint8Array => Buffer.concat([schema, ...shapes.map(message), END_OF_STREAM])
const changed = (change: Partial<Shape>): Uint8Array => part({ ...good, ...change })
const buffer = (at: number, bytes: Uint8Array): Uint8Array => changed({ buffers: good.buffers.map((old, i) => i === at ? bytes : old) })

async function merged (container: 'file' | 'stream', parts: Uint8Array[]): Promise<Uint8Array> {
  const merger = arrowMerger(parameters(container))
  const chunks: Uint8Array[] = []
  const take = async (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> => { for await (const chunk of source) chunks.push(chunk.slice()) }
  await take(merger.start())
  for (const bytes of parts) await take(merger.add({ bytes }))
  await take(merger.end())
  return Buffer.concat(chunks)
}

const refused = (bytes: Uint8Array, message: RegExp, whole?: 'file' | 'stream'): void => {
  assert.throws(() => inspectArrow({ bytes }, parameters(whole ?? 'stream'), whole != null), (error: unknown) => {
    assert.ok(error instanceof ConversionError, String((error as Error).stack))
    assert.equal(error.code, 'bad-input')
    assert.match(error.message, message)
    return true
  })
}

describe('arrow: the check of results', () => {
  it('counts the rows of what we write', () => {
    assert.deepEqual(inspectArrow({ bytes: part(good, good) }, parameters('file'), false), { units: 6 })
    assert.deepEqual(inspectArrow({ bytes: part() }, parameters('file'), false), { units: 0 })
  })

  it('refuses another schema, or none', () => {
    refused(Buffer.concat([schemaMessage(arrowFields([{ name: 'n', type: 'BIGINT' }, columns[1]!])), END_OF_STREAM]), /schema/)
    refused(none, /schema/)
    refused(schema.subarray(0, 20), /schema/)
  })

  it('refuses record batches that are not as we write them', () => {
    refused(changed({ metadata: new Map([['a', 'b']]) }), /not written as it should be/)
    refused(changed({ metadata: new Map([['weft.cut', '1']]) }), /not written as it should be/)
    refused(changed({ codec: true, buffers: good.buffers.map(bytes => bytes.length === 0 ? bytes : Buffer.concat([new Uint8Array(8).fill(255), bytes])) }), /not written as it should be/)
    refused(changed({ gap: 8 }), /not written as it should be/)
    refused(part({ rows: 0, nodes: [[0, 0], [0, 0]], buffers: [none, none, none, int32(0), none] }), /not written as it should be/)
  })

  it('refuses counts that are not those of the buffers', () => {
    refused(changed({ nodes: [[3, 2], [3, 0]] }), /number of nulls than the 2/)
    refused(changed({ nodes: [[3, 4], [3, 0]] }), /4 nulls in 3/)
    refused(changed({ nodes: [[2, 1], [3, 0]] }), /2 values for 3 rows/)
    refused(changed({ rows: 2 }), /3 values for 2 rows/)
    refused(buffer(1, int32(1, 0)), /8 bytes where 12/)
  })

  it('refuses offsets that point anywhere else', () => {
    refused(buffer(3, int32(0, 2, 1, 3)), /backwards/)
    refused(buffer(3, int32(1, 2, 2, 3)), /begin at 0/)
    refused(buffer(3, int32(0, 2, 2, 4)), /do not end/)
    refused(buffer(3, int32(0, 2, 2, 2)), /do not end/)
    refused(buffer(3, int32(0, -1, 2, 3)), /backwards/)
  })

  it('refuses a part that is cut off, or goes on', () => {
    const whole = part(good)
    for (let end = 0; end < whole.length; end++) refused(whole.subarray(0, end), /./)
    refused(Buffer.concat([whole, Buffer.alloc(8)]), /goes on for 8 bytes/)
    refused(Buffer.concat([schema, schema, END_OF_STREAM]), /schema among its rows/)
  })

  it('merges parts into both containers, the same whichever way they are gathered', async () => {
    for (const container of ['file', 'stream'] as const) {
      const whole = await merged(container, [part(good, good), part(), part(good)])
      assert.deepEqual(inspectArrow({ bytes: whole }, parameters(container), true), { units: 9 })
      assert.deepEqual(await merged(container, [part(good), part(good), part(good)]), whole)
      const nothing = await merged(container, [])
      assert.deepEqual(inspectArrow({ bytes: nothing }, parameters(container), true), { units: 0 })
      refused(Buffer.concat([whole, Buffer.alloc(1)]), /goes on|end/, container)
      refused(whole.subarray(0, whole.length - 1), /end/, container)
    }
    await assert.rejects(merged('file', [Buffer.concat([schemaMessage(arrowFields([columns[0]!])), END_OF_STREAM])]), /another schema/)
    await assert.rejects(merged('file', [Buffer.concat([schema, schema, END_OF_STREAM])]), /schema among its rows/)
  })

  it('refuses a file whose index is another one', async () => {
    const whole = Buffer.from(await merged('file', [part(good, good)]))
    const fields = arrowFields(columns)
    const length = whole.readInt32LE(whole.length - 10)
    const size = message(good).length
    const head = size - 48
    const index = (blocks: FileBlock[]): Uint8Array => {
      const footer = Footer.encode(new Footer(new Schema(fields), undefined, blocks, []))
      const tail = Buffer.alloc(4)
      tail.writeInt32LE(footer.length)
      return Buffer.concat([whole.subarray(0, whole.length - 10 - length), footer, tail, Buffer.from('ARROW1')])
    }
    const first = 8 + schema.length
    const right = [new FileBlock(head, 48, first), new FileBlock(head, 48, first + size)]
    assert.deepEqual(inspectArrow({ bytes: index(right) }, parameters('file'), true), { units: 6 })
    refused(index([right[0]!]), /end/, 'file')
    refused(index([right[1]!, right[0]!]), /end/, 'file')
    refused(index([right[0]!, right[0]!]), /end/, 'file')
  })
})
