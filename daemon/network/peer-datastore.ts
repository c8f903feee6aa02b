/**
 * Where libp2p's peer store keeps what it knows of others. A disk that takes no writes must not end connections, nor keep the node from stopping: what
 * cannot be written stays in memory, in bounds, until it can be.
 */
import { LevelDatastore } from 'datastore-level'
import type { Log } from '../log.ts'
import { PEERS_STORED_MAX } from './constants.ts'

type Key = Parameters<LevelDatastore['put']>[0]
type Options = Parameters<LevelDatastore['put']>[2]

export class PeerDatastore extends LevelDatastore {
  /** Newest last. */
  readonly #unwritten = new Map<string, Uint8Array>()
  readonly #log: Log

  constructor (db: ConstructorParameters<typeof LevelDatastore>[0], log: Log) {
    super(db)
    this.#log = log
  }

  override async put (key: Key, value: Uint8Array, options?: Options): Promise<Key> {
    const name = key.toString()
    this.#unwritten.delete(name)
    try {
      return await super.put(key, value, options)
    } catch (error) {
      options?.signal?.throwIfAborted()
      this.#unwritten.set(name, value)
      for (const oldest of this.#unwritten.keys()) {
        if (this.#unwritten.size <= PEERS_STORED_MAX) break
        this.#unwritten.delete(oldest)
      }
      this.#log.debug({ reason: (error as Error).message }, 'what is known of a peer could not be written')
      return key
    }
  }

  override async get (key: Key, options?: Options): Promise<Uint8Array> {
    return this.#unwritten.get(key.toString()) ?? await super.get(key, options)
  }

  override async has (key: Key, options?: Options): Promise<boolean> {
    return this.#unwritten.has(key.toString()) || await super.has(key, options)
  }

  /** One that fails leaves what there was: it is out of date, and written over or deleted another time. */
  override async delete (key: Key, options?: Options): Promise<void> {
    this.#unwritten.delete(key.toString())
    await super.delete(key, options).catch((error: unknown) => {
      options?.signal?.throwIfAborted()
      this.#log.debug({ reason: (error as Error).message }, 'what was known of a peer could not be deleted')
    })
  }
}
