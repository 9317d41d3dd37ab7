/** Open loop: jobs submitted at a steady pace. submits.ts URL PER_SECOND SECONDS, prints Submits as JSON. */
import { call } from './call.ts'
import { quantile } from './report.ts'
import { pause } from './targets.ts'

/** From the moment a submit was due to its acknowledgment, ms; the first second does not count. */
export interface Submits {
  readonly p50: number
  readonly p99: number
  readonly refused: number
}

const [url, perSecond, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const took: number[] = []
let refused = 0
const due: Promise<void>[] = []
const startedAt = performance.now()
for (let i = 0; i < perSecond * seconds; i++) {
  const at = startedAt + (i * 1000) / perSecond
  while (performance.now() < at) await pause(Math.max(0, at - performance.now()))
  due.push(
    call('POST', `${url}/v1/jobs`, {
      request: { model: 'mock-n2', messages: [{ role: 'user', content: 'x' }] },
    }).then(({ status }) => {
      if (status !== 202) refused++
      else if (i > perSecond) took.push(performance.now() - at)
    }),
  )
}
await Promise.all(due)
took.sort((a, b) => a - b)
const result: Submits = { p50: quantile(took, 0.5), p99: quantile(took, 0.99), refused }
process.stdout.write(JSON.stringify(result))
process.exit(0)
