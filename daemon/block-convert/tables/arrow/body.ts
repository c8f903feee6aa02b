/** From a message to the buffers behind it. */
import type { DataType, Field } from 'apache-arrow'
import type { RandomAccess } from '../random-access.ts'
import type { ArrowMessage } from './container.ts'
import { Malformed } from './flatbuffer.ts'
import { Body, columnsOf } from './layout.ts'
import type { Dictionaries } from './window.ts'

export function bodyOf (file: RandomAccess, { head, offset, metadata, body }: ArrowMessage): Body {
  return new Body(file, offset + metadata, body, head.kind === 'schema' ? undefined : head.batch.codec)
}

/** @throws Malformed for a dictionary that no column has */
export function takeDictionary (file: RandomAccess, message: ArrowMessage, types: Map<number, DataType>, dictionaries: Dictionaries): void {
  const { head } = message
  if (head.kind !== 'dictionary') return
  const type = types.get(Number(head.id))
  if (type == null) throw new Malformed(`a dictionary (${head.id}) that no column refers to`)
  const [column] = columnsOf(head.batch, [{ type } as Field], bodyOf(file, message))
  dictionaries.take(head.id, head.delta, column!)
}
