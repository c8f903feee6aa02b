import type { Config } from './index.ts'

/** Whether this node's configuration lets it offer a converter. A pattern ending in `*` matches any rest. */
export function offers ({ converters }: Pick<Config, 'converters'>, id: string): boolean {
  const matches = (pattern: string): boolean => pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : id === pattern
  if (converters.disable.some(matches)) return false
  return converters.only.length === 0 || converters.only.some(matches)
}
