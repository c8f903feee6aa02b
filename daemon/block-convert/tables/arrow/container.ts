/**
 * IPC files and streams as a sequence of messages, read one at a time: a file by the index in its footer, a stream by walking. What a
 * block is made of is an IPC stream, whatever it was cut from.
 */
import { Field, Schema } from 'apache-arrow'
import { Message } from 'apache-arrow/ipc/metadata/message'
import { ConversionError } from '../../errors.ts'
import type { RandomAccess } from '../random-access.ts'
import { Malformed } from './flatbuffer.ts'
import { FOOTER_BYTES_MAX, METADATA_BYTES_MAX } from './limits.ts'
import { plainSchema, readFooter, readHead, type FileBlock, type Head } from './metadata.ts'

export const MAGIC: Uint8Array = Buffer.from('ARROW1')
/** The magic and its padding, before the first message of a file. */
export const FILE_START: Uint8Array = Buffer.from('ARROW1\0\0')
export const END_OF_STREAM: Uint8Array = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])

/** Bytes of a message's length, with the mark before it that older streams lack. */
const PREFIX_BYTES = 8
const CONTINUATION = 0xffffffff

export interface ArrowMessage {
  head: Head
  offset: number
  /** Bytes before the body: prefix, metadata, padding. */
  metadata: number
  body: number
}

/** @throws ConversionError `bad-input` or `unsupported`, naming the file */
export function guarded<T> (file: RandomAccess, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof ConversionError) throw error.code === 'unsupported' && error.details.path == null ? new ConversionError('unsupported', `${file.name()}: ${error.message}`, { ...error.details, path: file.name() }) : error
    // The library has errors of its own for what it cannot decode.
    const what = error instanceof Malformed ? error.message : `its metadata cannot be decoded (${(error as Error).message})`
    throw malformed(file, what)
  }
}

export function malformed (file: RandomAccess, what: string): ConversionError {
  return new ConversionError('bad-input', `${file.name()} is not sound Arrow IPC: ${what}`, { path: file.name() })
}

/** The message at an offset; undefined at the end of the stream, marked or not. */
export function readMessage (file: RandomAccess, offset: number): ArrowMessage | undefined {
  return guarded(file, () => {
    if (offset === file.size) return undefined
    if (offset + 4 > file.size) throw cut(file)
    let length = word(file, offset)
    let start = offset + 4
    if (length === CONTINUATION) {
      if (offset + PREFIX_BYTES > file.size) throw cut(file)
      length = word(file, start)
      start += 4
    }
    if (length === 0) return undefined
    if (length > METADATA_BYTES_MAX) throw new Malformed(`a message at byte ${offset} has ${length} bytes of metadata`)
    if (start + length > file.size) throw cut(file)
    const { head, bodyLength } = readHead(file.read(start, length))
    const metadata = start - offset + length
    if (offset + metadata + bodyLength > file.size) throw cut(file)
    return { head, offset, metadata, body: bodyLength }
  })
}

function word (file: RandomAccess, offset: number): number {
  const bytes = file.read(offset, 4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
}

function cut (file: RandomAccess): ConversionError {
  return new ConversionError('bad-input', `${file.name()} ends in the middle of a message at byte ${file.size}: it was cut off; get the whole file`, { path: file.name() })
}

export interface ArrowContents {
  /** Without custom metadata but what names extension types. */
  schema: Schema
  /** Dictionaries and record batches, in the order in which they count. A stream's are read while it is walked through. */
  messages: () => Generator<ArrowMessage>
}

/**
 * Opens a file or a stream.
 *
 * @throws ConversionError `bad-input` (no Arrow, cut off, inconsistent) or `unsupported`
 */
export function openArrow (file: RandomAccess): ArrowContents {
  if (file.size === 0) throw new ConversionError('bad-input', `${file.name()} is empty: it has no Arrow schema`, { path: file.name() })
  const start = Buffer.from(file.read(0, Math.min(FILE_START.length, file.size)))
  if (start.toString('latin1', 0, 4) === 'FEA1') throw new ConversionError('unsupported', `${file.name()} is a Feather file of version 1; write it again as version 2 (Arrow IPC)`, { path: file.name() })
  return start.subarray(0, MAGIC.length).equals(MAGIC) ? openFile(file) : openStream(file)
}

function openStream (file: RandomAccess): ArrowContents {
  const first = readMessage(file, 0)
  if (first == null || first.head.kind !== 'schema') throw malformed(file, 'it does not begin with a schema')
  const schema = first.head.schema
  const begin = first.metadata + first.body
  return { schema: checked(file, schema), messages: () => walk(file, begin) }
}

/** The messages of a stream up to its end. */
function * walk (file: RandomAccess, begin: number): Generator<ArrowMessage> {
  let offset = begin
  for (;;) {
    const message = readMessage(file, offset)
    if (message == null) break
    if (message.head.kind === 'schema') throw new ConversionError('unsupported', `${file.name()} has a second schema at byte ${offset}: several streams in one file are not supported; convert them one by one`, { path: file.name() })
    yield message
    offset += message.metadata + message.body
  }
  requireEnd(file, offset)
}

/** Nothing but the mark, of four or eight bytes, may be left. */
function requireEnd (file: RandomAccess, offset: number): void {
  const left = file.size - offset
  if (left <= END_OF_STREAM.length) return
  throw new ConversionError('unsupported', `${file.name()} goes on for ${left} bytes after the end of its stream: several streams in one file are not supported; convert them one by one`, { path: file.name() })
}

function openFile (file: RandomAccess): ArrowContents {
  const tailBytes = 4 + MAGIC.length
  if (file.size < FILE_START.length + tailBytes) throw cut(file)
  const tail = Buffer.from(file.read(file.size - tailBytes, tailBytes))
  if (!tail.subarray(4).equals(MAGIC)) throw new ConversionError('bad-input', `${file.name()} does not end as an Arrow file does: it was cut off; get the whole file`, { path: file.name() })
  const length = tail.readInt32LE(0)
  if (length <= 0 || length > FOOTER_BYTES_MAX || length > file.size - tailBytes - FILE_START.length) throw malformed(file, `its footer has ${length} bytes`)
  const end = file.size - tailBytes - length
  const footer = guarded(file, () => readFooter(file.read(end, length)))
  requireInside(file, [...footer.dictionaries, ...footer.batches], end)
  return { schema: checked(file, footer.schema), messages: () => indexed(file, footer.dictionaries, footer.batches) }
}

function requireInside (file: RandomAccess, blocks: FileBlock[], end: number): void {
  let total = 0
  for (const { offset, metadata, body } of blocks) {
    if (offset < FILE_START.length || offset + metadata + body > end) throw malformed(file, 'its footer points outside of the file')
    total += metadata + body
    // Few bytes that are many blocks would be a bomb.
    if (total > end) throw malformed(file, 'its footer names the same bytes more than once')
  }
}

function * indexed (file: RandomAccess, dictionaries: FileBlock[], batches: FileBlock[]): Generator<ArrowMessage> {
  for (const [kind, blocks] of [['dictionary', dictionaries], ['batch', batches]] as const) {
    for (const { offset, body } of blocks) {
      const message = readMessage(file, offset)
      if (message?.head.kind !== kind || message.body !== body) throw malformed(file, `its footer announces a ${kind} at byte ${offset}, where there is none like it`)
      yield message
    }
  }
}

function checked (file: RandomAccess, schema: Schema): Schema {
  if (schema.fields.length === 0) throw new ConversionError('unsupported', `${file.name()} has no columns`, { path: file.name() })
  return guarded(file, () => plainSchema(schema))
}

/** Metadata of a message with its prefix and padding, as newer streams have it. */
export function encapsulate (metadata: Uint8Array): Uint8Array {
  const length = Math.ceil((PREFIX_BYTES + metadata.length) / 8) * 8
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, CONTINUATION, true)
  view.setUint32(4, length - PREFIX_BYTES, true)
  bytes.set(metadata, PREFIX_BYTES)
  return bytes
}

/** The message that begins a stream of these columns. */
export function schemaMessage (fields: Field[]): Uint8Array {
  return encapsulate(Message.encode(Message.from(new Schema(fields))))
}
