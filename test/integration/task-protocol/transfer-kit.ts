/** What the tests of transfers share. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { TransferError, type TransferErrorCode } from '../../../daemon/task-protocol/errors.ts'
import type { ByteSink } from '../../../daemon/task-protocol/transfer.ts'

export const MIB = 1 << 20
/** Milliseconds for the failure of a flow to be noticed where a stall is not what is tested. */
export const STALL_MS = 400

export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

export class Collector implements ByteSink {
  readonly hash = createHash('sha256')
  size = 0
  async write (chunk: Uint8Array): Promise<void> {
    this.hash.update(chunk)
    this.size += chunk.length
  }
}

export async function failsWith (code: TransferErrorCode | TransferErrorCode[], act: Promise<unknown>): Promise<TransferError> {
  try {
    await act
  } catch (error) {
    assert.ok(error instanceof TransferError, String(error))
    assert.ok([code].flat().includes(error.code), `${error.code}: ${error.message}`)
    return error
  }
  assert.fail(`expected ${[code].flat().join(' or ')}`)
}

export function * pieces (bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
