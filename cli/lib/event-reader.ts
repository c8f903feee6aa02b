/** Server-sent events from the bytes of a response. */
import { EVENT_CHARS_MAX } from './constants.ts'
import { Failure } from './failure.ts'

export async function * readEvents<T> (body: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = text.slice(0, end).split('\n').filter(line => line.startsWith('data:')).map(line => line.slice(5).trimStart()).join('\n')
      text = text.slice(end + 2)
      if (data !== '') yield JSON.parse(data) as T
    }
    if (text.length > EVENT_CHARS_MAX) throw new Failure('failed', 'the daemon sent an event without an end')
  }
}
