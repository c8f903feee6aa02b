// Loaded into every process of a test network by NODE_OPTIONS=--import; blocks the main loop of one daemon now and then, as a long
// synchronous computation would: WEFT_BENCH_STALL="n3 2000 10000" is node n3, 2000 ms out of every 10000.
import { isMainThread } from 'node:worker_threads'

const [name, blockMs, everyMs] = (process.env.WEFT_BENCH_STALL ?? '').split(' ')
if (isMainThread && process.argv[2] === 'start' && name !== '' && process.env.WEFT_HOME?.endsWith(`/${name}`)) {
  let stalls = 0
  setInterval(() => {
    // Proof for whoever reads the log that it happened.
    console.error(`stall ${++stalls}`)
    const until = performance.now() + Number(blockMs)
    while (performance.now() < until);
  }, Number(everyMs)).unref()
}
