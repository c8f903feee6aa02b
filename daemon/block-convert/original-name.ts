/** Messages about a decoded copy name the user's file. */
import { ConversionError } from './errors.ts'
import type { Input } from './index.ts'

/** The same error, speaking of the files the copies among these inputs were made of. Other errors pass. */
export function underOriginalName (error: unknown, inputs: Input[]): unknown {
  if (!(error instanceof ConversionError)) return error
  let { message } = error
  const details = { ...error.details }
  for (const { path, original } of inputs) {
    if (original == null) continue
    message = message.replaceAll(path, original)
    if (details.path === path) details.path = original
  }
  return message === error.message && details.path === error.details.path ? error : new ConversionError(error.code, message, details)
}
