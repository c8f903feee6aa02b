/** Arrow parts become one stream or file without being encoded again: their record batches copied as they are. */
import { Schema } from 'apache-arrow'
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file'
import { ConversionError } from '../../errors.ts'
import type { BlockSource, Merger } from '../../index.ts'
import { RandomAccess } from '../random-access.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { END_OF_STREAM, FILE_START, MAGIC, malformed, readMessage, schemaMessage } from './container.ts'
import { BLOCKS_MAX, READ_BYTES } from './limits.ts'
import { arrowFields } from './types.ts'

/** The `target` of Arrow outputs. @throws ConversionError `bad-parameters` */
export function arrowForm ({ target }: TableParameters): TargetForm & { format: 'arrow' } {
  if (target.format !== 'arrow') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be arrow', { key: 'target.format' })
  return target
}

/**
 * A merger of IPC streams with exactly the schema of `params.columns`. No parts give a schema without rows.
 *
 * `add` throws ConversionError `bad-input` for a part that is malformed or has another schema, and `unsupported` for too many of them.
 */
export function arrowMerger (params: TableParameters): Merger {
  return new ArrowMerger(params)
}

class ArrowMerger implements Merger {
  readonly #schema: Schema
  readonly #message: Uint8Array
  readonly #file: boolean
  readonly #blocks: FileBlock[] = []
  #position = 0

  constructor (params: TableParameters) {
    const fields = arrowFields(params.columns)
    this.#schema = new Schema(fields)
    this.#message = schemaMessage(fields)
    this.#file = arrowForm(params).container === 'file'
  }

  * start (): Generator<Uint8Array> {
    const first = this.#file ? Buffer.concat([FILE_START, this.#message]) : this.#message
    this.#position = first.length
    yield first
  }

  * add (part: BlockSource): Generator<Uint8Array> {
    const file = new RandomAccess(part)
    try {
      const length = this.#message.length
      if (file.size < length || Buffer.compare(file.read(0, length), this.#message) !== 0) throw new ConversionError('bad-input', `${file.name()} has another schema than it should have`)
      let offset = length
      for (;;) {
        const message = readMessage(file, offset)
        if (message == null) break
        if (message.head.kind !== 'batch') throw malformed(file, `a part has a ${message.head.kind} among its rows`)
        const { metadata, body } = message
        if (this.#file) {
          if (this.#blocks.length >= BLOCKS_MAX) throw new ConversionError('unsupported', `the output has more than ${BLOCKS_MAX} record batches; use larger blocks, or an Arrow stream (--to arrows)`)
          this.#blocks.push(new FileBlock(metadata, body, this.#position))
        }
        yield * copied(file, offset, metadata + body)
        offset += metadata + body
        this.#position += metadata + body
      }
    } finally {
      file.close()
    }
  }

  * end (): Generator<Uint8Array> {
    yield END_OF_STREAM
    if (this.#file) yield fileEnd(this.#schema, this.#blocks)
  }
}

function * copied (file: RandomAccess, offset: number, length: number): Generator<Uint8Array> {
  for (let done = 0; done < length; done += READ_BYTES) yield file.read(offset + done, Math.min(READ_BYTES, length - done))
}

/** What follows the end of the stream in a file: the index of its record batches. */
export function fileEnd (schema: Schema, blocks: FileBlock[]): Uint8Array {
  const footer = Footer.encode(new Footer(schema, undefined, blocks, []))
  const tail = Buffer.alloc(4 + MAGIC.length)
  tail.writeInt32LE(footer.length)
  tail.set(MAGIC, 4)
  return Buffer.concat([footer, tail])
}
