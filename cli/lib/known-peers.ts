/** Peer ids as people give them: whole, or the end that tables show. */
import type { Client } from './client.ts'
import { usage } from './failure.ts'

const WHOLE = /^((12D3KooW|16Uiu2|Qm)[1-9A-HJ-NP-Za-km-z]{20,}|did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{20,})$/

/**
 * The peer id or did:key that is meant: one that is known to the daemon, by its end.
 * @throws Failure `usage` where none or several end like that
 */
export async function subjectOf (client: Client, text: string, from: 'known' | 'banned'): Promise<string> {
  if (WHOLE.test(text)) return text
  const end = text.replace(/^…/, '')
  const all = from === 'banned' ? (await client.bans()).map(({ subject }) => subject) : await known(client)
  const matching = [...new Set(all)].filter(one => end !== '' && one.endsWith(end))
  if (matching.length === 1) return matching[0] as string
  const why = matching.length > 1 ? `is the end of ${matching.length} ids: give more of it` : from === 'banned' ? 'is nobody that is banned: see weft peers bans' : 'is no peer id, and no end of a known one: see weft nodes --long'
  throw usage(`'${text}' ${why}`, { subject: text })
}

async function known (client: Client): Promise<string[]> {
  const [peers, { nodes }] = await Promise.all([client.peers(), client.nodes()])
  return [...peers, ...nodes].flatMap(({ peer, operator }) => [peer, operator])
}
