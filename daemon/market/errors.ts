/** A bulletin is not what it should be, and is not used. */
export class BulletinError extends Error {
  override name = 'BulletinError'
  /** `signer`: signed by another peer than the one it is about, or not at all; `ahead`: dated further ahead than clocks may differ. */
  readonly code: 'malformed' | 'signer' | 'network' | 'expired' | 'ahead' | 'validity' | 'too-large'

  constructor (code: BulletinError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
