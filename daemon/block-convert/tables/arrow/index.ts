/**
 * Arrow IPC (files and streams) as a source and as a target. The engine has no Arrow of its own, so blocks are loaded into it and read out
 * of it here, buffer by buffer; schemas and messages are decoded and encoded by apache-arrow.
 */
import type { Note } from '../../index.ts'
import { ARROW_STREAM } from '../constants.ts'
import type { SourceFormat, TargetFormat } from '../format.ts'
import type { Column } from '../schema.ts'
import { parseType, type ColumnType, type Kind } from '../types.ts'
import { inspectArrow } from './inspect.ts'
import { arrowMerger } from './merge.ts'
import { prepareArrow } from './prepare.ts'
import { splitArrow } from './split.ts'

export const arrowSource: SourceFormat = {
  prepare: async inputs => prepareArrow(inputs),
  split: splitArrow,
  // Loaded on demand: only a process that converts carries the engine.
  from: async task => await (await import('./load.ts')).arrowFrom(task)
}

export const arrowTarget: TargetFormat = {
  form: (mediaType, _settings, columns) => ({ target: { format: 'arrow', container: mediaType === ARROW_STREAM ? 'stream' : 'file' }, notes: textNotes(columns) }),
  write: async (task, from) => await (await import('./write.ts')).writeArrow(task, from),
  merger: arrowMerger,
  inspect: inspectArrow
}

const TEXTS: Array<[Kind, string, string]> = [['JSON', 'json-as-text', 'JSON values'], ['UUID', 'uuid-as-text', 'UUIDs']]

function textNotes (columns: Column[]): Note[] {
  return TEXTS.flatMap(([kind, code, what]) => {
    const names = columns.filter(({ type }) => holds(parseType(type), kind)).map(({ name }) => name)
    if (names.length === 0) return []
    return [{ code, message: `Arrow has no type for ${what}: ${names.length === 1 ? `column '${names[0]}' is` : `${names.length} columns are`} written as text`, columns: names.slice(0, 20) }]
  })
}

function holds (type: ColumnType, kind: Kind): boolean {
  return type.kind === kind || [type.element, type.key, ...(type.fields ?? []).map(field => field.type)].some(part => part != null && holds(part, kind))
}
