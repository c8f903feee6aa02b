import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { RPC } from '@libp2p/gossipsub/message'
import type { Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { encode } from 'it-length-prefixed'
import { silentLog } from '../../../daemon/log.ts'
import { BULLETIN_VALIDITY_MS, createPriceGossip, sealBulletin, VERIFICATIONS_BURST, VERIFICATIONS_PER_SECOND_MAX, type BulletinContent, type PriceGossip } from '../../../daemon/market/index.ts'
import { GOSSIP_MESSAGE_BYTES_MAX } from '../../../daemon/network/constants.ts'
import { NETWORK, type TestNode } from '../registry/node.ts'
import { Attacker, protocolOf } from './attacker.ts'
import { memory, until, World } from './world.ts'

const MIB = 1 << 20
const MESHSUB = protocolOf('meshsub', '1.2.0')
const PRICES = `/weft/${NETWORK}/prices/table/0`


const NEIGHBOURS = 3
const FRAMES = 180

type Frame = Partial<Parameters<typeof RPC.encode>[0]>
const frame = (rpc: Frame): Uint8Array => encode.single(RPC.encode({ subscriptions: [], messages: [], ...rpc })).subarray()
const say = (topic: string, data: Uint8Array): Frame => ({ messages: [{ topic, data }] })

const asking = (price: string): BulletinContent => ({ families: ['table'], price, unit: 'credit', draining: false, load: { slots: 2, busy: 0, loopDelayMs: 1 } })

/** What attackers say in the name of somebody, with a signature that is not theirs. */
async function forgeries (count: number): Promise<Uint8Array[]> {
  const key = await generateKeyPair('Ed25519')
  const now = Date.now()
  const { load, price, unit, draining } = asking('0')
  const peer = peerIdFromPrivateKey(key).toString()
  return await Promise.all(Array.from({ length: count }, async (_, i) => {
    const sealed = await sealBulletin(key, { version: 1, network: NETWORK, peer, sequence: now - i, issued: now, expires: now + BULLETIN_VALIDITY_MS, price, unit, draining, load })
    return Uint8Array.from(sealed, (byte, at) => at === sealed.byteLength - 1 ? byte ^ 1 : byte)
  }))
}

describe('hostile: gossip', () => {
  let world: World
  let atVictim: PriceGossip
  let atRequester: PriceGossip
  let price = 1

  before(async () => {
    world = await World.start()
    const gossipOf = async ({ network, identity }: TestNode): Promise<PriceGossip> => {
      const gossip = createPriceGossip({ network, identity, log: silentLog, families: ['table'] })
      await gossip.start()
      return gossip
    }
    atVictim = await gossipOf(world.victim)
    atRequester = await gossipOf(world.requester)
    await until('they hear one another', () => world.requester.network.gossip.subscribers('prices/table/0').length > 0)
  })
  after(async () => {
    await Promise.all([atVictim.stop(), atRequester.stop()])
    await world[Symbol.asyncDispose]()
  })

  const rows: Array<[string, () => Promise<Frame[]>]> = [
    ['floods with signatures that are not right', async () => (await forgeries(FRAMES)).map(data => say(PRICES, data))],
    ['subscription bombs', async () => Array.from({ length: FRAMES }, (_, i) => ({ subscriptions: Array.from({ length: 25 }, (_, j) => ({ subscribe: true, topic: `/weft/${NETWORK}/bomb-${i}-${j}` })) }))],
    ['what is no bulletin, larger than any message, or for topics nobody has', async () => Array.from({ length: FRAMES / 3 }, (_, i) => [say(PRICES, randomBytes(200)), say(PRICES, randomBytes(GOSSIP_MESSAGE_BYTES_MAX + 1)), say(`/weft/${NETWORK}/nobody-${i}`, randomBytes(1000))]).flat()],
    ['announcements of messages that never come', async () => Array.from({ length: FRAMES }, () => ({ control: { ihave: [{ topicID: PRICES, messageIDs: Array.from({ length: 100 }, () => randomBytes(16)) }], iwant: [], graft: [], prune: [], idontwant: [] } }))]
  ]
  for (const [what, make] of rows) {
    it(`${what}, of several neighbours: a changed price is heard beside them`, async () => {
      const frames = (await make()).map(rpc => frame(rpc))
      await using stack = new AsyncDisposableStack()
      const streams: Stream[] = []
      for (let i = 0; i < NEIGHBOURS; i++) {
        const attacker = stack.use(await Attacker.start())
        await attacker.join(world.victim)
        streams.push(await attacker.stream(MESHSUB))
      }
      const before = await memory()
      const verified = atVictim.tally.verified
      const began = performance.now()
      const heard: string[] = []
      const onBulletin = ({ detail }: { detail: { peer: string, price: string } }): void => { if (detail.peer === world.requester.identity.peerId.toString()) heard.push(detail.price) }
      atVictim.events.addEventListener('bulletin', onBulletin)
      price++
      await world.during(4, async () => {
        for (const [at, bytes] of frames.entries()) {
          for (const stream of streams) if (stream.status === 'open') stream.send(bytes)
          if (at === Math.floor(frames.length / 2)) atRequester.publish(asking(String(price)))
          if (at % 50 === 0) await new Promise(resolve => { setTimeout(resolve) })
        }
        await until('the price is heard', () => heard.includes(String(price)))
      })
      atVictim.events.removeEventListener('bulletin', onBulletin)
      assert.ok(atVictim.tally.verified - verified <= VERIFICATIONS_BURST + VERIFICATIONS_PER_SECOND_MAX * Math.ceil((performance.now() - began) / 1000), `${atVictim.tally.verified - verified} signatures were checked`)
      await stack.disposeAsync()
      assert.ok(await memory() - before < 24 * MIB)
      await world.stillServes()
    })
  }
})
