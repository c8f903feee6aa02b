/** A connection did not pass `hello`, and is closed. */
export class HelloError extends Error {
  override name = 'HelloError'
  /**
   * `refused`: the other side said no (its reason is in the message); `unsupported`: it speaks no hello of this network;
   * the others are what this side found wrong.
   */
  readonly code: 'network' | 'version' | 'delegation' | 'secret' | 'malformed' | 'refused' | 'unsupported' | 'timeout' | 'closed' | 'duplicate' | 'self' | 'limit' | 'access'

  constructor (code: HelloError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The network cannot be created or started as configured. The message says what to do. */
export class NetworkConfigError extends Error {
  override name = 'NetworkConfigError'
  readonly code: 'name' | 'address' | 'bootstrap' | 'listen' | 'secret' | 'gossip' | 'access'

  constructor (code: NetworkConfigError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A peer wants this node to store more DHT records than it is entitled to. */
export class DhtQuotaError extends Error {
  override name = 'DhtQuotaError'
}

/** A peer could not be reached: the message says why, in words for its operator. */
export class DialError extends Error {
  override name = 'DialError'
}
