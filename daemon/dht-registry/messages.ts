/** The messages of `advert/1.0.0`: one request, one response per stream. Length-prefixed Protobuf. */
import { reader, writer } from 'protons-runtime'
import { NAME_CHARS_MAX } from './constants.ts'
import { ExchangeError } from './errors.ts'

/**
 * `ask`: send me yours; `push`: here is mine; `goodbye`: I leave, forget mine.
 */
export const REQUEST = { ask: 0, push: 1, goodbye: 2 } as const

/** `ok`; `none`: nothing published; `refused`: what was pushed is not taken, with a reason; `busy`: ask later. */
export const STATUS = { ok: 0, none: 1, refused: 2, busy: 3 } as const

/**
 * ```proto
 * message Request { uint32 type = 1; bytes advert = 2; }
 * ```
 */
export interface Request { type: number, advert: Uint8Array }

/**
 * ```proto
 * message Response { uint32 status = 1; bytes advert = 2; string reason = 3; }
 * ```
 */
export interface Response { status: number, advert: Uint8Array, reason: string }

export function encodeRequest ({ type, advert }: Request): Uint8Array {
  const out = writer().uint32(8).uint32(type)
  if (advert.byteLength > 0) out.uint32(18).bytes(advert)
  return out.finish()
}

/** @throws ExchangeError `malformed` */
export function decodeRequest (bytes: Uint8Array): Request {
  const request: Request = { type: -1, advert: new Uint8Array() }
  fields(bytes, (tag, input) => {
    if (tag === 8) request.type = input.uint32()
    else if (tag === 18) request.advert = input.bytes()
    else input.skipType(tag & 7)
  })
  return request
}

export function encodeResponse ({ status, advert, reason }: Response): Uint8Array {
  const out = writer().uint32(8).uint32(status)
  if (advert.byteLength > 0) out.uint32(18).bytes(advert)
  if (reason !== '') out.uint32(26).string(reason.slice(0, NAME_CHARS_MAX))
  return out.finish()
}

/** @throws ExchangeError `malformed` */
export function decodeResponse (bytes: Uint8Array): Response {
  const response: Response = { status: -1, advert: new Uint8Array(), reason: '' }
  fields(bytes, (tag, input) => {
    if (tag === 8) response.status = input.uint32()
    else if (tag === 18) response.advert = input.bytes()
    // eslint-disable-next-line no-control-regex
    else if (tag === 26) response.reason = input.string().slice(0, NAME_CHARS_MAX).replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
    else input.skipType(tag & 7)
  })
  return response
}

function fields (bytes: Uint8Array, take: (tag: number, input: ReturnType<typeof reader>) => void): void {
  try {
    const input = reader(bytes)
    while (input.pos < input.len) take(input.uint32(), input)
  } catch (error) {
    throw new ExchangeError('malformed', `not a message of advert/1.0.0: ${(error as Error).message}`, { cause: error })
  }
}
