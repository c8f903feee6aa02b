/** Compressed files of other programs and of our own libraries, for the tests of archives. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { compressed } from '../../../../daemon/block-convert/archives/codecs.ts'
import { ConversionError, type Encoding } from '../../../../daemon/block-convert/index.ts'

export const ENCODINGS: Encoding[] = ['gzip', 'zstd', 'brotli', 'xz']

/** Bytes that do not compress, the same every time. */
export function noise (length: number, name = 'noise'): Buffer {
  return createHash('shake256', { outputLength: length }).update(name).digest()
}

export const TABLE = 'id,name\n' + Array.from({ length: 4000 }, (_, i) => `${i},"näme ${i}"\n`).join('')

export async function coded (encoding: Encoding, bytes: Uint8Array | string, level?: number): Promise<Buffer> {
  return Buffer.from(await compressed(Buffer.from(bytes), encoding, level))
}

/** Runs a program over bytes; undefined, with a line that says so, where it is not installed. */
export function program (name: string, args: string[], input: Uint8Array): Buffer | undefined {
  try {
    return execFileSync(name, args, { input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'pipe'] })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    console.log(`      skipped: ${name} is not installed`)
    return undefined
  }
}

export function refused (code: string, message: RegExp): (error: unknown) => boolean {
  return error => {
    if (!(error instanceof ConversionError) || error.code !== code || !message.test(error.message) || error.message.includes('\n')) {
      throw new Error(`not the refusal '${code}' ${String(message)}: ${String(error)}`, { cause: error })
    }
    return true
  }
}

/** A member of blocked gzip, as bgzip writes it. */
export async function blockedMember (bytes: Uint8Array): Promise<Buffer> {
  const member = await coded('gzip', bytes)
  const head = Buffer.from(member.subarray(0, 10))
  head[3] = 4
  const extra = Buffer.from([6, 0, 0x42, 0x43, 2, 0, 0, 0])
  extra.writeUInt16LE(member.length + extra.length - 1, 6)
  return Buffer.concat([head, extra, member.subarray(10)])
}
