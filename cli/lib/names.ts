/** What files are called: the type and the compression their names end in, and the name an output gets from its input's. Pure. */
import { basename, dirname, join } from 'node:path'
import { ENCODING_EXTENSIONS } from '../../daemon/block-convert/encodings.ts'

/** Extensions of compressed files, without dot. */
const COMPRESSIONS = new Set(Object.values(ENCODING_EXTENSIONS).flat())

export interface NameParts {
  /** The name without both. */
  stem: string
  /** Without dot, lower case; '' if there is none. */
  extension: string
  /** The same, of a compression; '' if there is none. */
  compression: string
}

/** `x.csv.gz` is x, csv, gz; `x.gz` is x, nothing, gz. A leading dot is part of the name. */
export function partsOf (path: string): NameParts {
  const name = basename(path)
  const last = extensionAt(name)
  const compressed = COMPRESSIONS.has(name.slice(last + 1).toLowerCase()) && last < name.length
  const rest = compressed ? name.slice(0, last) : name
  const at = extensionAt(rest)
  return { stem: rest.slice(0, at), extension: rest.slice(at + 1).toLowerCase(), compression: compressed ? name.slice(last + 1).toLowerCase() : '' }
}

/** Where the last extension's dot is, or the name's length. */
function extensionAt (name: string): number {
  const dot = name.lastIndexOf('.')
  return dot > 0 ? dot : name.length
}

/** What outputs are to be, as far as their names go. */
export interface TargetName {
  /** As the daemon understands it: `parquet`, `csv.gz`, a media type. */
  to: string
  /** Extension of the type, without dot; '' for a bare compression. */
  extension: string
  /** Extension of the compression, without dot, or ''. */
  compression: string
}

/** `--to`, as far as its name tells. */
export function targetOf (to: string): TargetName {
  const wanted = to.trim()
  // A media type says its extension only roughly; the converters of the daemon know better.
  if (wanted.includes('/')) return { to: wanted, extension: wanted.slice(wanted.lastIndexOf('/') + 1).replace(/^.*[.+]/, '').replace(/^x-/, '').toLowerCase(), compression: '' }
  const plain = wanted.toLowerCase().replace(/^\./, '')
  const { stem, extension, compression } = partsOf(`name.${plain}`)
  if (stem !== 'name') return { to: plain, extension: plain.replace(/^.*\./, ''), compression: '' }
  return { to: plain, extension, compression }
}

/**
 * The target with what the output's own name adds: its type where none was given (undefined if it has none), its compression where `--to`
 * says nothing of one.
 */
export function withOutputName (target: TargetName | undefined, out: string): TargetName | undefined {
  const { extension, compression } = partsOf(out)
  if (target == null) {
    if (extension === '' && compression === '') return undefined
    return { to: [extension, compression].filter(part => part !== '').join('.'), extension, compression }
  }
  if (compression === '' || target.compression !== '' || target.extension === compression) return target
  return { ...target, to: `${target.to.includes('/') ? target.extension : target.to}.${compression}`, compression }
}

/** Types that say nothing of the content: an output of theirs is called what it was called before it was compressed. */
const RAW = new Set(['raw', 'bin'])

/** The name of an output beside that of its input: `a/x.csv.gz` to parquet is `a/x.parquet`, to gz `a/x.csv.gz`. */
export function outputName (path: string, { extension, compression }: TargetName): string {
  const { stem, extension: own, compression: packed } = partsOf(path)
  // What is only compressed, or only unpacked, keeps the name it had.
  const type = extension === '' || (RAW.has(extension) && packed !== '' && own !== '') ? basename(path).slice(stem.length + 1, stem.length + 1 + own.length) : extension
  return join(dirname(path), [stem, type, compression].filter(part => part !== '').join('.'))
}

/** A name for people and terminals: nothing in it moves the cursor or ends the line. */
export function shown (text: string): string {
  return text.replaceAll(/\p{Cc}/gu, character => character === '\n' ? '\\n' : character === '\t' ? '\\t' : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
