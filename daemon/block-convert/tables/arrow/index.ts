/** Arrow IPC (files and streams) as a source and as a target. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'

const missing = (): never => { throw new ConversionError('unsupported', 'Arrow cannot be converted yet') }
export const arrowSource: SourceFormat = { prepare: missing, split: missing, from: missing }
export const arrowTarget: TargetFormat = { form: missing, write: missing, merger: missing, inspect: missing }
