import { z } from 'zod'
import { configSchema } from './schema.ts'

/** The JSON schema beside the example: for editors, and for people. Generated, so that it cannot disagree. */
export function configJsonSchema (): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as { properties: Record<string, unknown> }
  return { ...schema, title: 'weft configuration', properties: { $schema: { type: 'string' }, ...schema.properties } }
}
