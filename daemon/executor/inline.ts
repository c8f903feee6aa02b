/** The hot path of small blocks: converters without an engine, run in this process. */
import { converterById, type Converter, type Parameters } from '../block-convert/index.ts'
import type { EngineOutcome } from './index.ts'
import { verdictOfError } from './verdict.ts'

/** A converter that works on bytes without a promise; several times as fast as one with. */
interface SyncConverter extends Converter {
  convertBytes: (input: Uint8Array, params: Parameters) => { bytes: Uint8Array, units?: number }
}

/** Inline converters already looked up: going through all families for each small block would cost more than its work. */
const known = new Map<string, Converter>()

/** Runs an `inline` converter; others are answered `unavailable`. Never throws or rejects. */
export function runInline (id: string, parameters: Parameters, input: Uint8Array, signal?: AbortSignal): Promise<EngineOutcome> | EngineOutcome {
  const started = performance.now()
  if (signal?.aborted === true) return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 }
  const converter = known.get(id) ?? lookUp(id)
  if (converter == null) return { ok: false, reason: 'unavailable', message: `this build has no converter ${id} that runs inline`, cpuMs: 0, wallMs: 0 }
  if (!isSync(converter)) return runAsync(converter, parameters, input, signal, started)
  try {
    const { bytes, units } = converter.convertBytes(input, parameters)
    const wallMs = performance.now() - started
    return { ok: true, output: { bytes }, units, cpuMs: wallMs, wallMs }
  } catch (error) {
    return failed(error, started)
  }
}

async function runAsync (converter: Converter, parameters: Parameters, input: Uint8Array, signal: AbortSignal | undefined, started: number): Promise<EngineOutcome> {
  try {
    const { bytes, units } = await converter.convert({ bytes: input }, parameters, {
      // There is no folder: an inline converter returns its bytes.
      output: '',
      threads: 1,
      memoryBytes: input.byteLength,
      signal: signal ?? new AbortController().signal,
      progress () {}
    })
    if (signal?.aborted === true) throw signal.reason
    if (bytes == null) throw new Error(`${converter.id} returned no bytes`)
    const wallMs = performance.now() - started
    return { ok: true, output: { bytes }, units, cpuMs: wallMs, wallMs }
  } catch (error) {
    if (signal?.aborted === true) return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: performance.now() - started }
    return failed(error, started)
  }
}

function isSync (converter: Converter): converter is SyncConverter {
  return 'convertBytes' in converter
}

function failed (error: unknown, started: number): EngineOutcome {
  const wallMs = performance.now() - started
  return { ...verdictOfError(error), cpuMs: wallMs, wallMs }
}

function lookUp (id: string): Converter | undefined {
  const converter = converterById(id)
  if (converter?.runs !== 'inline') return undefined
  known.set(id, converter)
  return converter
}
