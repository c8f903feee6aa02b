/** From described inputs and a target's name to a job that can be split: the way there, decoded inputs, parameters. */
import { rm } from 'node:fs/promises'
import { expansionOf } from './archives/settings.ts'
import type { DecodeSettings } from './decode.ts'
import { familyOf, findConverter } from './families.ts'
import type { Converter, Input, Note } from './index.ts'
import { underOriginalName } from './original-name.ts'
import { planRoute, type Route } from './route.ts'
import { CSV, JSON_ARRAY, NDJSON } from './tables/constants.ts'
import { charsetOf } from './tables/settings.ts'
import type { Prepared } from './toolbox.ts'

const TEXTS: ReadonlySet<string> = new Set([CSV, NDJSON, JSON_ARRAY])

/** Throws ConversionError; nothing is left in `scratch` then. */
export async function prepareJob (inputs: Input[], target: string, settings: Record<string, string>, scratch: string): Promise<Prepared> {
  const route = planRoute(inputs, target, settings)
  const converter = findConverter(route.from, route.to) as Converter
  const copies: string[] = []
  const decoded: Input[] = []
  try {
    const notes: Note[] = []
    const wanted = decodeSettings(route, settings)
    const { decodeInput } = await import('./decode.ts')
    for (const input of inputs) {
      // Of an archive that is decompressed by its converter, nothing is decoded before.
      const { encoding: _, ...coded } = input
      const result = route.archive && !route.decode ? { input: coded, notes: [] } : await decodeInput(input, wanted, scratch, copies)
      decoded.push({ ...result.input, mediaType: route.from })
      notes.push(...result.notes)
    }
    const prepared = await familyOf(converter.id).prepare(decoded, converter, settings, route.archive || route.encoding == null ? {} : { encoding: route.encoding })
    notes.push(...prepared.notes)
    const { id, version, from, to, equivalence } = converter
    return { conversion: { converter: { id, version, from, to, equivalence }, parameters: converter.validate(prepared.parameters) }, inputs: decoded, notes, copies }
  } catch (error) {
    await Promise.all(copies.map(async path => { await rm(path, { force: true }) }))
    throw underOriginalName(error, decoded)
  }
}

function decodeSettings (route: Route, settings: Record<string, string>): DecodeSettings {
  const expansion = expansionOf(settings)
  if (route.archive || !TEXTS.has(route.from)) return { expansion }
  const said = settings['encoding']
  return { expansion, charset: (said == null ? undefined : charsetOf('encoding', said)) ?? 'auto' }
}
