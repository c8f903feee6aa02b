/**
 * Noise, loaded when a peer first wants it: ours prefer TLS, and the module takes 6 MB and 40 ms.
 */
import { serviceCapabilities, type ComponentLogger, type ConnectionEncrypter, type Metrics, type PeerId, type PrivateKey, type Upgrader } from '@libp2p/interface'

export interface NoiseComponents {
  peerId: PeerId
  privateKey: PrivateKey
  upgrader: Upgrader
  logger: ComponentLogger
  metrics?: Metrics
}

export function lazyNoise (): (components: NoiseComponents) => ConnectionEncrypter {
  return components => {
    let loading: Promise<ConnectionEncrypter> | undefined
    const noise = async (): Promise<ConnectionEncrypter> => await (loading ??= import('@chainsafe/libp2p-noise').then(module => module.noise()(components)))
    return {
      protocol: '/noise',
      [Symbol.toStringTag]: 'weft/lazy-noise',
      [serviceCapabilities]: ['@libp2p/connection-encryption', '@chainsafe/libp2p-noise'],
      secureInbound: async (connection, options) => await (await noise()).secureInbound(connection, options),
      secureOutbound: async (connection, options) => await (await noise()).secureOutbound(connection, options)
    } as ConnectionEncrypter
  }
}
