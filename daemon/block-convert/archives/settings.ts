/** `--set` of compression, and the parameters that cross the wire. */
import { ENCODING_TYPES, EXPANSION_DEFAULT, EXPANSION_MAX, OCTETS } from './constants.ts'
import { LEVELS } from './codecs.ts'
import { ConversionError } from '../errors.ts'
import type { Converter, Encoding, MediaType, Parameters } from '../index.ts'

/** Settings that leave bytes what they are; any other one is about what the bytes mean. */
export const ARCHIVE_KEYS: readonly string[] = ['level', 'max_expansion']

export type ArchiveParameters =
  | { encoding: Encoding, compress: true, level: number }
  | { encoding: Encoding, compress: false, expansion: number }

/** The encoding a media type is, if it is one. */
export function encodingOfType (mediaType: MediaType): Encoding | undefined {
  return (Object.keys(ENCODING_TYPES) as Encoding[]).find(encoding => ENCODING_TYPES[encoding] === mediaType)
}

/** `max_expansion` of a job's settings. Throws ConversionError `bad-parameters`. */
export function expansionOf (settings: Record<string, string>): number {
  const said = settings['max_expansion']
  if (said == null) return EXPANSION_DEFAULT
  const value = said.trim() === '' ? NaN : Number(said)
  if (value >= 1 && value <= EXPANSION_MAX) return value
  throw new ConversionError('bad-parameters', `setting 'max_expansion' cannot be '${said}'; use a number from 1 to ${EXPANSION_MAX}`, { key: 'max_expansion', value: said })
}

/** The parameters of a job. Throws ConversionError `bad-parameters`. */
export function fromSettings ({ from, to }: Pick<Converter, 'from' | 'to'>, settings: Record<string, string>): Parameters {
  const unknown = Object.keys(settings).find(key => !ARCHIVE_KEYS.includes(key))
  if (unknown != null) throw new ConversionError('bad-parameters', `unknown setting '${unknown}' where bytes are only compressed or decompressed (there are: ${ARCHIVE_KEYS.join(', ')})`, { key: unknown })
  const expansion = expansionOf(settings)
  if (from !== OCTETS) {
    if (settings['level'] != null) throw new ConversionError('bad-parameters', 'setting \'level\' is for compressing only', { key: 'level' })
    return { expansion }
  }
  const encoding = encodingOfType(to) as Encoding
  const said = settings['level']
  const { min, max, usual } = LEVELS[encoding]
  const level = said == null ? usual : said.trim() === '' ? NaN : Number(said)
  if (!isLevel(level, encoding)) throw new ConversionError('bad-parameters', `setting 'level' cannot be '${said}'; use a whole number from ${min} to ${max} for ${encoding}`, { key: 'level', value: said })
  return { level }
}

/** Reads parameters that crossed the wire. Throws ConversionError `bad-parameters`. */
export function readArchiveParameters ({ from, to }: Pick<Converter, 'from' | 'to'>, params: Parameters): ArchiveParameters {
  const compress = from === OCTETS
  const encoding = encodingOfType(compress ? to : from) as Encoding
  const known = compress ? 'level' : 'expansion'
  const unknown = Object.keys(params).find(key => key !== known)
  if (unknown != null) throw new ConversionError('bad-parameters', `parameter '${unknown}' is unknown`, { key: unknown })
  if (compress) {
    const { min, max, usual } = LEVELS[encoding]
    const level = params['level'] ?? usual
    if (typeof level !== 'number' || !isLevel(level, encoding)) throw new ConversionError('bad-parameters', `parameter 'level' must be a whole number from ${min} to ${max}`, { key: 'level' })
    return { encoding, compress, level }
  }
  const expansion = params['expansion'] ?? EXPANSION_DEFAULT
  if (typeof expansion !== 'number' || !(expansion >= 1 && expansion <= EXPANSION_MAX)) throw new ConversionError('bad-parameters', `parameter 'expansion' must be a number from 1 to ${EXPANSION_MAX}`, { key: 'expansion' })
  return { encoding, compress, expansion }
}

function isLevel (level: number, encoding: Encoding): boolean {
  return Number.isInteger(level) && level >= LEVELS[encoding].min && level <= LEVELS[encoding].max
}
