/** An advert or record is not what it should be, and is not used. */
export class AdvertError extends Error {
  override name = 'AdvertError'
  /**
   * `stale`: a higher sequence of this peer is known; `equivocation`: other bytes of the same sequence are known;
   * `signer`: signed by another peer than the one it is about; `ahead`: dated further ahead than clocks may differ.
   */
  readonly code: 'malformed' | 'signer' | 'network' | 'expired' | 'ahead' | 'validity' | 'stale' | 'equivocation' | 'delegation' | 'key' | 'too-large'

  constructor (code: AdvertError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A peer did not answer as `advert/1.0.0` says. */
export class ExchangeError extends Error {
  override name = 'ExchangeError'
  readonly code: 'malformed' | 'refused' | 'busy'

  constructor (code: ExchangeError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
