/** Samples across a whole file: its beginning, its end and evenly spaced windows between; a small file wholly. */
import { open } from 'node:fs/promises'
import { SAMPLE_HEAD_BYTES, SAMPLE_TAIL_BYTES, SAMPLE_WHOLE_BYTES, SAMPLE_WINDOWS, SAMPLE_WINDOW_BYTES } from './constants.ts'
import { unreadable } from '../errors.ts'
import type { Input } from '../index.ts'

export interface Sample {
  text: string
  /** A byte order mark stood before it. */
  marked?: true
  /** It begins at the file's beginning. */
  first: boolean
  /** It ends at the file's end. */
  last: boolean
}

/**
 * Reads samples of a text file. A window may begin and end in the middle of a record, or of a character. `headBytes`: so much of the
 * beginning, and nothing else.
 */
export async function readSamples (input: Input, headBytes?: number): Promise<Sample[]> {
  const windows: Array<[number, number]> = headBytes == null ? plan(input.size) : [[0, Math.min(headBytes, input.size)]]
  const handle = await open(input.path, 'r').catch(error => { throw unreadable(input.path, error) })
  try {
    const samples: Sample[] = []
    for (const [offset, length] of windows) {
      const bytes = Buffer.alloc(length)
      let got = 0
      while (got < length) {
        const { bytesRead } = await handle.read(bytes, got, length - got, offset + got)
        // A file that became shorter is noticed by the splitter, which reads all of it.
        if (bytesRead === 0) break
        got += bytesRead
      }
      const text = bytes.toString('utf8', 0, got)
      const marked = offset === 0 && text.charCodeAt(0) === 0xfeff
      samples.push({ text: marked ? text.slice(1) : text, first: offset === 0, last: offset + got >= input.size, ...(marked ? { marked } : {}) })
    }
    return samples
  } catch (error) {
    throw unreadable(input.path, error)
  } finally {
    await handle.close()
  }
}

/** Byte ranges to sample, in order, never overlapping. */
export function plan (size: number): Array<[offset: number, length: number]> {
  if (size <= SAMPLE_WHOLE_BYTES) return [[0, size]]
  const windows: Array<[number, number]> = [[0, SAMPLE_HEAD_BYTES]]
  const middle = size - SAMPLE_HEAD_BYTES - SAMPLE_TAIL_BYTES
  const count = Math.min(SAMPLE_WINDOWS, Math.floor(middle / SAMPLE_WINDOW_BYTES))
  for (let i = 0; i < count; i++) {
    windows.push([SAMPLE_HEAD_BYTES + Math.floor((middle - SAMPLE_WINDOW_BYTES) * i / Math.max(1, count - 1)), SAMPLE_WINDOW_BYTES])
  }
  windows.push([size - SAMPLE_TAIL_BYTES, SAMPLE_TAIL_BYTES])
  return windows
}
