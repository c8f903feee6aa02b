/** From described inputs and a target's name to a job that can be split: the way there, decoded inputs, parameters. */
import { ConversionError } from './errors.ts'
import { familyOf, findConverter, mediaTypeOf } from './families.ts'
import type { Input } from './index.ts'
import type { Prepared } from './toolbox.ts'

/** Throws ConversionError. */
export async function prepareJob (inputs: Input[], target: string, settings: Record<string, string>, _scratch: string): Promise<Prepared> {
  const from = inputs[0]?.mediaType
  if (from == null) throw new ConversionError('bad-parameters', 'a conversion needs at least one input', { key: 'inputs' })
  const other = inputs.find(input => input.mediaType !== from)
  if (other != null) throw new ConversionError('unsupported', `'${other.path}' is ${other.mediaType} but '${inputs[0]!.path}' is ${from}; inputs of one output need one type`, { path: other.path })
  const to = mediaTypeOf(target)
  const converter = findConverter(from, to)
  if (converter == null) throw new ConversionError('unknown-type', `there is no converter from ${from} to ${to}`, { from, to })
  const { parameters, notes } = await familyOf(converter.id).prepare(inputs, converter, settings, {})
  const { id, version, equivalence } = converter
  return { conversion: { converter: { id, version, from, to, equivalence }, parameters: converter.validate(parameters) }, inputs, notes, copies: [] }
}
