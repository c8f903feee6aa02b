/**
 * Probe conversions: any bytes, cut at fixed sizes, through work whose cost and result are known exactly. For tests,
 * benches and canaries: a digest (`probe/noop`), a declared duration (`probe/sleep`), a copy (`probe/copy`) and, where
 * the environment variable WEFT_TEST_CONVERTERS is 1, every way an engine can go wrong (`probe/fault`).
 *
 * @example
 * ```sh
 * weft convert data.bin --to noop --block-size 200 -o data.noop
 * weft convert data.bin --to sleep --set milliseconds=50 -o data.sleep
 * ```
 */
import { stat } from 'node:fs/promises'
import { ConversionError } from '../errors.ts'
import type { BlockSource, Conversion, Family, Merger } from '../index.ts'
import { bytesOf, chunksOf, digestOf, firstDifference, sizeOf } from './bytes.ts'
import { COPY, DIGEST_BYTES, FAULT, NOOP, OCTETS, SLEEP } from './constants.ts'
import { copy, noop, rulesOf, sleep } from './converters.ts'
import { fault, FAULT_RULES, testConverters } from './fault.ts'
import { fromSettings } from './settings.ts'
import { splitBytes } from './split.ts'

const common = [noop, sleep, copy]

/** Blocks of these become digests; those of the others stay what they are. */
function digests (conversion: Conversion): boolean {
  return conversion.converter.to === NOOP || conversion.converter.to === SLEEP
}

export const probe: Family = {
  name: 'probe',

  get mediaTypes () {
    const types = [
      { mediaType: OCTETS, extensions: ['bin', 'dat'] },
      { mediaType: NOOP, extensions: ['noop'] },
      { mediaType: SLEEP, extensions: ['sleep'] },
      { mediaType: COPY, extensions: ['copy'] }
    ]
    return testConverters() ? [...types, { mediaType: FAULT, extensions: ['fault'] }] : types
  },

  get converters () {
    return testConverters() ? [...common, fault] : common
  },

  sniff (_head, extension) {
    const wanted = extension.toLowerCase().replace(/^\./, '')
    return wanted === 'bin' || wanted === 'dat' ? OCTETS : undefined
  },

  async prepare (_inputs, converter, settings) {
    return { parameters: fromSettings(converter.id, converter.id === fault.id ? FAULT_RULES : rulesOf(converter.id), settings), notes: [] }
  },

  split (inputs, conversion, target) {
    return splitBytes(inputs, target, digests(conversion) ? () => 1 : size => size)
  },

  merger: () => concatenation,

  async inspect (result, recipe, conversion) {
    const size = await sizeOf(result)
    const wanted = digests(conversion) ? DIGEST_BYTES : recipe.size
    if (size !== wanted) throw new ConversionError('bad-input', `block ${recipe.index}: ${size} bytes where ${wanted} must be`, { block: recipe.index, size, wanted })
    return { units: digests(conversion) ? 1 : size }
  },

  async distance (original, result, recipe, conversion) {
    if (!digests(conversion)) {
      const { at, compared } = await firstDifference(original, result)
      return at == null ? { value: 0, compared } : { value: 1, compared, difference: `block ${recipe.index}, byte ${at + 1}: differs from its source` }
    }
    const [wanted, found] = await Promise.all([digestOf(original), bytesOf(result)])
    if (Buffer.compare(wanted, found) === 0) return { value: 0, compared: DIGEST_BYTES }
    return { value: 1, compared: DIGEST_BYTES, difference: `block ${recipe.index}: digest ${hex(found)} where ${hex(wanted)} must be` }
  },

  async inspectWhole (path, expected, conversion) {
    const { size } = await stat(path)
    const wanted = digests(conversion) ? expected.blocks * DIGEST_BYTES : expected.units ?? size
    if (size !== wanted) throw new ConversionError('bad-input', `${path}: ${size} bytes where ${wanted} must be`, { size, wanted })
    return { units: digests(conversion) ? size / DIGEST_BYTES : size }
  }
}

function hex (digest: Uint8Array): string {
  return Buffer.from(digest.subarray(0, DIGEST_BYTES)).toString('hex')
}

/** Parts one after the other. */
const concatenation: Merger = {
  start: () => [],
  add: (part: BlockSource) => chunksOf(part),
  end: () => []
}

