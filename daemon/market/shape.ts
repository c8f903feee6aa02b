/** Reads the fields of a decoded bulletin that a stranger wrote. */
import { fieldReaders } from '../trust/index.ts'
import { AMOUNT_DIGITS_MAX, NAME_CHARS_MAX } from './constants.ts'
import { BulletinError } from './errors.ts'
import type { Bulletin } from './index.ts'

const FIELDS = ['version', 'network', 'peer', 'sequence', 'issued', 'expires', 'price', 'unit', 'draining', 'load'] as const

const { exactly, text, count, time, amount, flag } = fieldReaders({ charsMax: NAME_CHARS_MAX, digitsMax: AMOUNT_DIGITS_MAX, malformed })

/** A map of exactly the fields of a bulletin. @throws BulletinError `malformed` */
export function shape (value: unknown): Bulletin {
  const fields = exactly(value, FIELDS, 'a bulletin')
  if (fields.version !== 1) throw malformed('a bulletin of another version')
  const load = exactly(fields.load, ['slots', 'busy', 'loopDelayMs'], 'load')
  return {
    version: 1,
    network: text(fields.network, 'network'),
    peer: text(fields.peer, 'peer'),
    sequence: count(fields.sequence, 'sequence'),
    issued: time(fields.issued, 'issued'),
    expires: time(fields.expires, 'expires'),
    price: amount(fields.price, 'price'),
    unit: text(fields.unit, 'unit'),
    draining: flag(fields.draining, 'draining'),
    load: { slots: count(load.slots, 'slots'), busy: count(load.busy, 'busy'), loopDelayMs: count(load.loopDelayMs, 'loopDelayMs') }
  }
}

export function malformed (message: string, cause?: unknown): BulletinError {
  return new BulletinError('malformed', message, cause == null ? undefined : { cause })
}
