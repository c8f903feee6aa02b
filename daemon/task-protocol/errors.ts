/** What goes wrong on the wire. Nothing of this crosses `TaskClient` or `TaskServer`: there it is an outcome. */

export type ProtocolErrorCode =
  | 'truncated'      // the bytes end inside a field
  | 'malformed'      // a bad tag, wire type, varint, length or text
  | 'too-large'      // a number, length or count beyond its limit
  | 'duplicate'      // a field that may come once came twice
  | 'missing'        // a field that must be there is not
  | 'unexpected'     // a valid message at a time or place where it may not come

/** The peer (or the line) broke the protocol. */
export class ProtocolError extends Error {
  static override readonly name = 'ProtocolError'
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  constructor (code: ProtocolErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type TransferErrorCode =
  | 'reset'          // the other side reset the stream
  | 'early-end'      // the stream ended without an end marker: the peer was killed, or closed too soon
  | 'wrong-digest'   // the bytes do not have the digest of the end marker, or not the one that was ordered
  | 'too-long'       // more bytes than announced or allowed
  | 'stalled'        // nothing moved for STALL_MS although the other side may send (or must take)
  | 'protocol'       // broken framing
  | 'aborted'        // our own signal fired
  | 'local'          // our own sink or source failed

/** A bulk transfer did not succeed, and how. */
export class TransferError extends Error {
  static override readonly name = 'TransferError'
  override readonly name = 'TransferError'
  readonly code: TransferErrorCode
  constructor (code: TransferErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
