/** The part of lzma-native used here: its stream without the wrapper, which cannot tell a cut off file. */
declare module 'lzma-native' {
  interface LzmaError extends Error {
    name: string
  }
  class Stream {
    /** `chunk` null: the end of the stream or, with `error` null, of the data. */
    bufferHandler: (chunk: Buffer | null | undefined, processed: number | undefined, error: LzmaError | null | undefined) => void
    streamDecoder_ (memoryBytes: number, flags: number): void
    easyEncoder_ (preset: number, check: number): void
    /** Codes all it can of `input` (null: there is no more) before it returns, if not `async`. */
    code (input: Uint8Array | null, async: boolean): void
    resetUnderlying (): void
  }
  const lzma: { Stream: typeof Stream, CONCATENATED: number, CHECK_CRC64: number, easyEncoderMemusage: (preset: number) => number }
  export default lzma
}
