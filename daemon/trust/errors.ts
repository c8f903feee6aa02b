/** A value is not strict DAG-CBOR, or passes a limit. Nothing of it may be used. */
export class CanonicalError extends Error {
  override name = 'CanonicalError'
  readonly code: 'too-large' | 'too-deep' | 'malformed' | 'not-canonical' | 'unencodable'

  constructor (code: CanonicalError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A signed envelope is malformed, too large, of the wrong kind, or its signature does not hold. */
export class EnvelopeError extends Error {
  override name = 'EnvelopeError'
  readonly code: 'too-large' | 'malformed' | 'key-type' | 'payload-type' | 'signature'

  constructor (code: EnvelopeError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** An operator's delegation does not let this node act for it. */
export class DelegationError extends Error {
  override name = 'DelegationError'
  readonly code: 'malformed' | 'signer' | 'peer' | 'expired' | 'not-yet-valid' | 'validity'

  constructor (code: DelegationError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The keys on disk cannot be used. The message says what to do. */
export class IdentityError extends Error {
  override name = 'IdentityError'
  readonly code: 'damaged' | 'readable-by-others' | 'missing' | 'test-keys' | 'mismatch' | 'seed' | 'not-initialised' | 'same-operator' | 'not-a-key'

  constructor (code: IdentityError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
