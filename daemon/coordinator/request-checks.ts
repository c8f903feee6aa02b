/** What is wrong with a request, said before anything is done for it. */
import { access, constants, realpath, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { mediaTypeOf, parseTarget, planRoute, type Encoding, type Input } from '../block-convert/index.ts'
import { INPUTS_MAX } from './constants.ts'
import { JobRefusedError } from './errors.ts'
import { outputExists, toJobError, toOutputError } from './job-errors.ts'
import { parsePrice } from './prices.ts'
import type { JobError, JobRequest } from './index.ts'

export const refuse = (code: JobError['code'], message: string, details?: Record<string, unknown>): never => {
  throw new JobRefusedError({ code, message, details })
}

/** What an output is to be. */
export interface Target { mediaType: string, encoding?: Encoding }

/** What the output is to be, if there is a way to it in this build. */
export function targetOf (inputs: Input[], request: JobRequest): Target {
  try {
    const { mediaType, encoding } = planRoute(inputs, request.to, request.settings ?? {})
    return { mediaType, ...(encoding != null ? { encoding } : {}) }
  } catch (error) {
    const told = toJobError(error)
    // Both types are known, only the way between them is not.
    if (told.code === 'unknown-type' && told.details?.to != null) refuse('no-provider', told.details.path == null ? `${told.message}; see 'weft converters'` : told.message, told.details)
    throw new JobRefusedError(told)
  }
}

/** What can be said without looking at the disk. */
export function checkRequest (request: JobRequest): void {
  if (request.inputs.length === 0) refuse('usage', 'a job needs at least one input')
  if (request.inputs.length > INPUTS_MAX) refuse('usage', `a job takes at most ${INPUTS_MAX} inputs`)
  for (const path of [...request.inputs, request.output]) if (!isAbsolute(path)) refuse('usage', `'${path}' is not an absolute path`)
  if (request.blockBytes != null && !(Number.isSafeInteger(request.blockBytes) && request.blockBytes > 0)) refuse('usage', 'the block size is a positive number of bytes')
  if (request.inFlight != null && !(Number.isSafeInteger(request.inFlight) && request.inFlight > 0)) refuse('usage', 'orders in flight are a positive number')
  if (request.maxPrice != null && parsePrice(request.maxPrice) == null) refuse('usage', `the highest price is a whole number of 10^-6 units per resource hour, of at most 19 digits, like 250000; not '${request.maxPrice}'`)
  if (request.deadlineSeconds != null && !(request.deadlineSeconds > 0)) refuse('usage', 'the deadline is a positive number of seconds')
  try {
    if (request.from != null) mediaTypeOf(request.from)
    parseTarget(request.to)
  } catch (error) {
    throw new JobRefusedError(toJobError(error))
  }
}

/** What can be said of the output before it is written; gives its real path. */
export async function checkOutput (request: JobRequest): Promise<string> {
  const { output } = request
  const folder = dirname(output)
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    // The real folder decides: a link to an input's folder would otherwise hide that the output is the input.
    const real = join(await realpath(folder), basename(output))
    for (const input of request.inputs) {
      if (await realpath(input) === real) refuse('usage', `'${output}' is an input of the job; an input is never overwritten`)
    }
    const existing = await stat(output).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    // An output divided into files is a folder itself; what may be replaced its writer knows.
    const folderWanted = request.settings?.partition_by != null
    if (existing?.isDirectory() === true && !folderWanted) refuse('output-unwritable', `cannot write '${output}': it is a folder; name a file in it`, { path: output })
    if (existing != null && request.overwrite !== true) throw new JobRefusedError(outputExists(output))
    return real
  } catch (error) {
    if (error instanceof JobRefusedError) throw error
    throw new JobRefusedError(toOutputError(error, output))
  }
}
