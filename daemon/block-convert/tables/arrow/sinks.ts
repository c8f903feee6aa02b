/** The engine's vectors into the buffers of record batches. Layouts mostly agree, so most is copying. */
import type { ColumnType } from '../types.ts'
import { decimalWidth } from './numbers.ts'
import type { Sink } from './sink.ts'
import { BooleanSink, FixedSink, nanoseconds, widen } from './sink-fixed.ts'
import { ListSink, StructSink } from './sink-nested.ts'
import { TextSink } from './sink-text.ts'

/** A sink for columns of a type that Arrow has (`storedType`). `name`: for messages. */
export function sinkOf (type: ColumnType, name: string): Sink {
  switch (type.kind) {
    case 'BOOLEAN': return new BooleanSink()
    case 'TINYINT':
    case 'UTINYINT': return new FixedSink(1)
    case 'SMALLINT':
    case 'USMALLINT': return new FixedSink(2)
    case 'INTEGER':
    case 'UINTEGER':
    case 'FLOAT':
    case 'DATE': return new FixedSink(4)
    case 'DECIMAL': {
      const width = decimalWidth(type.precision)
      return width === 16 ? new FixedSink(16) : new FixedSink(width, 16, widen(width))
    }
    case 'INTERVAL': return new FixedSink(16, 16, nanoseconds(name))
    case 'VARCHAR':
    case 'BLOB': return new TextSink()
    case 'LIST': return new ListSink([sinkOf(type.element!, name)], false)
    case 'MAP': return new ListSink([sinkOf(type.key!, name), sinkOf(type.element!, name)], true)
    case 'STRUCT': return new StructSink(type.fields!.map(field => sinkOf(field.type, name)))
    default: return new FixedSink(8)
  }
}
