/** The datagram of a beacon; docs/protocol.md specifies it. */
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto'
import type { BeaconBeat } from './index.ts'

export const BEACON_ID_BYTES = 8
export const BEACON_KEY_BYTES = 32

/** Bytes of a datagram: 4 of mark and version, the receiver's id, five numbers of 4, the code. Any other length is dropped unread. */
export const PACKET_BYTES = 48
const CODE_BYTES = 16
const SIGNED_BYTES = PACKET_BYTES - CODE_BYTES
/** 'WFB' and the version. */
const MARK = 0x57464201
const UINT32_MAX = 0xffffffff

export interface BeaconPacket extends BeaconBeat {
  /** Milliseconds the sender's main loop was late, at most, lately. */
  loopDelayMs: number
  /** Orders at work or queued at the sender, for this lease. */
  active: number
}

/** `id` and `key` are the receiver's. Numbers beyond 32 bits are cut to the largest. */
export function encodeBeacon (packet: BeaconPacket, id: Uint8Array, key: KeyObject): Buffer {
  const bytes = Buffer.alloc(PACKET_BYTES)
  bytes.writeUInt32BE(MARK, 0)
  bytes.set(id, 4)
  let at = 4 + BEACON_ID_BYTES
  for (const value of [packet.incarnation, packet.sequence, packet.progress, packet.loopDelayMs, packet.active]) at = bytes.writeUInt32BE(Math.min(value, UINT32_MAX), at)
  bytes.set(codeOf(bytes, key), SIGNED_BYTES)
  return bytes
}

/** Whom it is for, in hex, without believing anything; undefined if it is no beacon of this version. */
export function addresseeOf (bytes: Buffer): string | undefined {
  return bytes.length === PACKET_BYTES && bytes.readUInt32BE(0) === MARK ? bytes.toString('hex', 4, 4 + BEACON_ID_BYTES) : undefined
}

/** What it says, or undefined if it was not made with `key`. For datagrams that have an addressee. */
export function openBeacon (bytes: Buffer, key: KeyObject): BeaconPacket | undefined {
  if (!timingSafeEqual(codeOf(bytes, key), bytes.subarray(SIGNED_BYTES))) return undefined
  const number = (index: number): number => bytes.readUInt32BE(4 + BEACON_ID_BYTES + 4 * index)
  return { incarnation: number(0), sequence: number(1), progress: number(2), loopDelayMs: number(3), active: number(4) }
}

/** HMAC-SHA256 of everything before it, the first 16 bytes. */
function codeOf (bytes: Buffer, key: KeyObject): Buffer {
  return createHmac('sha256', key).update(bytes.subarray(0, SIGNED_BYTES)).digest().subarray(0, CODE_BYTES)
}
