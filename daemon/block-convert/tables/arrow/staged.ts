/** The type a column has while it is on its way into a table. */
import { DataType, DateUnit, TimeUnit, type Dictionary } from 'apache-arrow'
import type { ColumnType } from '../types.ts'

/**
 * The type in which a column is loaded, of those that its Arrow type can be: `wanted`, what it becomes, decides between them.
 * A union of files may want another type altogether; then the engine casts.
 */
export function stagedType (natural: ColumnType, type: DataType, wanted: ColumnType | undefined): ColumnType {
  if (DataType.isDictionary(type)) return stagedType(natural, (type as Dictionary).dictionary as DataType, wanted)
  if (DataType.isNull(type)) return natural
  if (DataType.isDate(type) && type.unit === DateUnit.MILLISECOND) return { ...natural, kind: wanted == null || wanted.kind === 'DATE' ? 'DATE' : 'TIMESTAMP_MS' }
  if (DataType.isTimestamp(type) && type.unit === TimeUnit.NANOSECOND && natural.kind === 'TIMESTAMPTZ' && wanted?.kind === 'TIMESTAMP_NS') return { ...natural, kind: 'TIMESTAMP_NS' }
  if ((DataType.isTime(type) || DataType.isDuration(type)) && wanted?.kind === 'BIGINT') return { ...natural, kind: 'BIGINT' }
  if (natural.kind === 'LIST') return { ...natural, element: stagedType(natural.element!, type.children[0]!.type, wanted?.element) }
  if (natural.kind === 'MAP') {
    const [key, value] = type.children[0]!.type.children as Array<{ type: DataType }>
    return { ...natural, key: stagedType(natural.key!, key!.type, wanted?.key), element: stagedType(natural.element!, value!.type, wanted?.element) }
  }
  if (natural.kind === 'STRUCT') {
    return {
      ...natural,
      fields: natural.fields!.map((field, i) => ({ name: field.name, type: stagedType(field.type, type.children[i]!.type, wanted?.fields?.find(other => other.name === field.name)?.type) }))
    }
  }
  return natural
}
