/** The full advert: sealed by the node key, asked for directly. */
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { CanonicalError, CLOCK_SKEW_MS, DAG_CBOR_PAYLOAD, decodeCanonical, encodeCanonical, EnvelopeError, open, seal, verifyDelegation } from '../trust/index.ts'
import { ADDRESSES_MAX, ADVERT_BYTES_MAX, ADVERT_DOMAIN, ADVERT_VALIDITY_MS, CONVERTERS_MAX, POLICY_HOURS_MAX, ROLES_MAX, WEEK_MINUTES } from './constants.ts'
import { AdvertError } from './errors.ts'
import type { Advert, ConverterAdvert, PolicyHints } from './index.ts'
import { amount, bytes, count, exactly, flag, list, malformed, text, time } from './shape.ts'

export interface OpenAdvertOptions {
  network: string
  /** UTC milliseconds. */
  now: number
}

/** What every signed statement about a peer says, whatever else it says. */
export interface Statement {
  network: string
  peer: string
  sequence: number
  issued: number
  expires: number
}

const FIELDS = ['version', 'network', 'peer', 'operator', 'delegation', 'addresses', 'sequence', 'issued', 'expires', 'resources', 'converters', 'price', 'unit', 'roles', 'draining', 'policy'] as const

/** @throws AdvertError `too-large` */
export async function sealAdvert (key: PrivateKey, advert: Advert): Promise<Uint8Array> {
  const sealed = await seal(key, ADVERT_DOMAIN, DAG_CBOR_PAYLOAD, encodeCanonical(advert))
  if (sealed.byteLength > ADVERT_BYTES_MAX) throw new AdvertError('too-large', `an advert of ${sealed.byteLength} bytes, at most ${ADVERT_BYTES_MAX} are allowed: advertise fewer converters`)
  return sealed
}

/**
 * Verifies an advert: signature, signer, network, time, delegation. Whether it is the newest is for the floors to say.
 *
 * @throws AdvertError
 */
export async function openAdvert (sealed: Uint8Array, options: OpenAdvertOptions): Promise<{ advert: Advert, peer: PeerId }> {
  const { payload, peerId } = await opened(sealed, ADVERT_DOMAIN, ADVERT_BYTES_MAX)
  const advert = shape(payload)
  checkStatement(advert, peerId, options)
  try {
    const { operator } = await verifyDelegation(advert.delegation, peerId, options.now)
    if (operator !== advert.operator) throw new AdvertError('delegation', `the advert of ${advert.peer} names another operator than its delegation`)
  } catch (error) {
    if (error instanceof AdvertError) throw error
    throw new AdvertError('delegation', `the advert of ${advert.peer} has no valid delegation: ${(error as Error).message}`, { cause: error })
  }
  return { advert, peer: peerId }
}

/** An envelope's strict payload and signer. @throws AdvertError */
export async function opened (sealed: Uint8Array, domain: string, maxBytes: number): Promise<{ payload: unknown, peerId: PeerId }> {
  try {
    const { payload, peerId } = await open(sealed, domain, { maxBytes })
    return { payload: decodeCanonical(payload, { maxBytes }), peerId }
  } catch (error) {
    if (!(error instanceof EnvelopeError) && !(error instanceof CanonicalError)) throw error
    throw new AdvertError(error.code === 'too-large' ? 'too-large' : error.code === 'signature' ? 'signer' : 'malformed', error.message, { cause: error })
  }
}

/** @throws AdvertError */
export function checkStatement (statement: Statement, signer: PeerId, { network, now }: OpenAdvertOptions): void {
  const { peer, sequence, issued, expires } = statement
  if (statement.network !== network) throw new AdvertError('network', `for network ${statement.network}, not ${network}`)
  if (peer !== signer.toString()) throw new AdvertError('signer', `about ${peer}, but signed by ${signer.toString()}`)
  if (expires <= now) throw new AdvertError('expired', `of ${peer}, expired at ${new Date(expires).toISOString()}`)
  if (issued > now + CLOCK_SKEW_MS) throw new AdvertError('ahead', `of ${peer}, dated ahead of our clock`)
  // Sequences follow the clock: a slip (or a thief) cannot raise the floor for ever.
  if (sequence > now + CLOCK_SKEW_MS) throw new AdvertError('ahead', `of ${peer}, sequence ${sequence} is ahead of our clock`)
  if (expires <= issued || expires - issued > ADVERT_VALIDITY_MS) throw new AdvertError('validity', `of ${peer}, holds longer than ${ADVERT_VALIDITY_MS} ms`)
}

function shape (value: unknown): Advert {
  const fields = exactly(value, FIELDS, 'an advert')
  if (fields.version !== 1) throw malformed('an advert of another version')
  const resources = exactly(fields.resources, ['cores', 'memoryBytes', 'diskBytes', 'slots'], 'resources')
  return {
    version: 1,
    network: text(fields.network, 'network'),
    peer: text(fields.peer, 'peer'),
    operator: text(fields.operator, 'operator'),
    delegation: bytes(fields.delegation, 'delegation'),
    addresses: list(fields.addresses, ADDRESSES_MAX, 'addresses').map(address => text(address, 'an address')),
    sequence: count(fields.sequence, 'sequence'),
    issued: time(fields.issued, 'issued'),
    expires: time(fields.expires, 'expires'),
    resources: {
      cores: count(resources.cores, 'cores'),
      memoryBytes: count(resources.memoryBytes, 'memoryBytes'),
      diskBytes: count(resources.diskBytes, 'diskBytes'),
      slots: count(resources.slots, 'slots')
    },
    converters: list(fields.converters, CONVERTERS_MAX, 'converters').map(converter),
    price: amount(fields.price, 'price'),
    unit: text(fields.unit, 'unit'),
    roles: list(fields.roles, ROLES_MAX, 'roles').map(role => text(role, 'a role')),
    draining: flag(fields.draining, 'draining'),
    policy: policy(fields.policy)
  }
}

function policy (value: unknown): PolicyHints {
  const fields = exactly(value, ['hours', 'maxLeases', 'everyone'], 'policy')
  return {
    hours: list(fields.hours, POLICY_HOURS_MAX, 'hours').map(span),
    maxLeases: count(fields.maxLeases, 'maxLeases'),
    everyone: flag(fields.everyone, 'everyone')
  }
}

/** From a minute of the week to a later one, at most a week on: past the end of the week where it wraps. */
function span (value: unknown): [from: number, to: number] {
  const [first, last, ...rest] = list(value, 2, 'a span of hours')
  const [from, to] = [count(first, 'the begin of a span'), count(last, 'the end of a span')]
  if (rest.length > 0 || from >= WEEK_MINUTES || to <= from || to > from + WEEK_MINUTES) throw malformed('a span of hours does not lie within a week')
  return [from, to]
}

function converter (value: unknown): ConverterAdvert {
  const fields = exactly(value, ['id', 'version', 'from', 'to', 'bytesPerSecond'], 'a converter')
  return {
    id: text(fields.id, 'id'),
    version: text(fields.version, 'version'),
    from: text(fields.from, 'from'),
    to: text(fields.to, 'to'),
    bytesPerSecond: count(fields.bytesPerSecond, 'bytesPerSecond')
  }
}
