/**
 * The messages of `hello/1.0.0`: each side sends a Hello at once, then its Verdict on the other's. Length-prefixed
 * Protobuf; unknown fields are skipped, so that later versions can add some.
 */
import { reader, writer } from 'protons-runtime'
import { AGENT_CHARS_MAX, HELLO_NONCE_BYTES, NETWORK_NAME_CHARS_MAX, REASON_CHARS_MAX, ROLES_MAX, ROLE_CHARS_MAX } from './constants.ts'
import { HelloError } from './errors.ts'

/**
 * ```proto
 * message Hello { uint32 version = 1; string network = 2; string agent = 3; repeated string roles = 4; bytes nonce = 5; bytes delegation = 6; }
 * ```
 */
export interface Hello {
  version: number
  network: string
  /** Program and version, for people. */
  agent: string
  roles: string[]
  /** Fresh random bytes per connection and side. */
  nonce: Uint8Array
  /** The operator's sealed delegation to the sender's node key. */
  delegation: Uint8Array
}

/**
 * ```proto
 * message Verdict { uint32 code = 1; string reason = 2; bytes proof = 3; }
 * ```
 * `proof`, with `code` ok: see proof.ts; empty in a network without a secret.
 */
export interface Verdict {
  code: VerdictCode
  reason: string
  proof: Uint8Array
}

/** `access`: the peer or its operator is banned, denied or not allowed here. */
export const VERDICT = { ok: 0, malformed: 1, version: 2, network: 3, delegation: 4, secret: 5, access: 6 } as const
export type VerdictName = keyof typeof VERDICT
export type VerdictCode = number

/** What a peer told about itself and we verified. */
export interface HelloInfo {
  version: number
  agent: string
  network: string
  roles: string[]
  /** did:key of the operator it acts for. */
  operator: string
  /** The operator's sealed delegation. */
  delegation: Uint8Array
}

export function encodeHello (hello: Hello): Uint8Array {
  const out = writer()
  out.uint32(8).uint32(hello.version)
  out.uint32(18).string(hello.network)
  out.uint32(26).string(hello.agent)
  for (const role of hello.roles) out.uint32(34).string(role)
  out.uint32(42).bytes(hello.nonce)
  out.uint32(50).bytes(hello.delegation)
  return out.finish()
}

/** @throws HelloError `malformed` */
export function decodeHello (bytes: Uint8Array): Hello {
  const hello: Hello = { version: 0, network: '', agent: '', roles: [], nonce: new Uint8Array(), delegation: new Uint8Array() }
  fields(bytes, (field, input) => {
    switch (field) {
      case 8: hello.version = input.uint32(); return true
      case 18: hello.network = text(input.string(), NETWORK_NAME_CHARS_MAX, 'network'); return true
      case 26: hello.agent = text(input.string(), AGENT_CHARS_MAX, 'agent'); return true
      case 34:
        if (hello.roles.push(text(input.string(), ROLE_CHARS_MAX, 'role')) > ROLES_MAX) throw new HelloError('malformed', `more than ${ROLES_MAX} roles`)
        return true
      case 42: hello.nonce = input.bytes(); return true
      case 50: hello.delegation = input.bytes(); return true
      default: return false
    }
  })
  if (hello.nonce.byteLength !== HELLO_NONCE_BYTES) throw new HelloError('malformed', `a nonce has ${HELLO_NONCE_BYTES} bytes`)
  return hello
}

export function encodeVerdict (verdict: Verdict): Uint8Array {
  const out = writer()
  out.uint32(8).uint32(verdict.code)
  if (verdict.reason !== '') out.uint32(18).string(verdict.reason.slice(0, REASON_CHARS_MAX))
  if (verdict.proof.byteLength > 0) out.uint32(26).bytes(verdict.proof)
  return out.finish()
}

/** @throws HelloError `malformed` */
export function decodeVerdict (bytes: Uint8Array): Verdict {
  let code: number | undefined
  const verdict: Verdict = { code: VERDICT.malformed, reason: '', proof: new Uint8Array() }
  fields(bytes, (field, input) => {
    switch (field) {
      case 8: code = input.uint32(); return true
      case 18: verdict.reason = text(input.string(), REASON_CHARS_MAX, 'reason'); return true
      case 26: verdict.proof = input.bytes(); return true
      default: return false
    }
  })
  if (code == null) throw new HelloError('malformed', 'a verdict without a code')
  return { ...verdict, code }
}

type Input = ReturnType<typeof reader>

/** Calls `take` with each field's tag; what it does not take is skipped. */
function fields (bytes: Uint8Array, take: (tag: number, input: Input) => boolean): void {
  try {
    const input = reader(bytes)
    while (input.pos < input.len) {
      const tag = input.uint32()
      if (!take(tag, input)) input.skipType(tag & 7)
    }
  } catch (error) {
    if (error instanceof HelloError) throw error
    throw new HelloError('malformed', `not a hello message: ${(error as Error).message}`, { cause: error })
  }
}

/** Text of others ends up in logs and on terminals: no control characters. */
function text (value: string, max: number, what: string): string {
  // eslint-disable-next-line no-control-regex
  if (value.length > max || /[\u0000-\u001f\u007f-\u009f]/.test(value)) throw new HelloError('malformed', `${what} is too long or has control characters`)
  return value
}
