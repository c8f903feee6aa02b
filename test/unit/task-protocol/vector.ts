/** Messages as JSON: bytes as `{ "hex": "..." }`, absent fields left out. */

export interface Vector { name: string, codec: 'LeaseMessage' | 'TaskMessage', hex: string, decoded: unknown }

export function plain (value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined).map(([key, field]) => [key, plain(field)]))
  }
  return value
}

export function revive (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (entries.length === 1 && entries[0]![0] === 'hex') return Buffer.from(entries[0]![1] as string, 'hex')
  return Object.fromEntries(entries.map(([key, field]) => [key, revive(field)]))
}
