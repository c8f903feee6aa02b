/** One measured figure: the median of its runs and their spread. */
export interface Figure {
  value: number
  unit: string
  runs: number
  min: number
  max: number
  /** The peer's median in the same unit, for a ratio's denominator. */
  peer?: number
}

export interface BenchOptions {
  /** Counted runs; one more goes first to warm up where that matters. */
  runs: number
  /** What else was said on the command line, for the bench itself. */
  args: string[]
  /** For what happens while it runs; standard error. */
  log: (line: string) => void
  /** For what does not fit into figures: Markdown, part of what is printed. */
  report: (markdown: string) => void
}

export interface Bench {
  /** Counted runs where nobody says. @default 5 */
  RUNS?: number
  run: (options: BenchOptions) => Promise<Record<string, Figure>>
}

export function median (values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] as number : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export function figure (values: number[], unit: string, peer?: number[]): Figure {
  const round = (value: number): number => Number(value.toPrecision(4))
  return {
    value: round(median(values)),
    unit,
    runs: values.length,
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    ...(peer == null ? {} : { peer: round(median(peer)) })
  }
}
