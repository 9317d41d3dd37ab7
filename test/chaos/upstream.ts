/**
 * The upstream of the chaos runs, in a process of its own that no kill reaches: upstream.ts PORT [SLOTS]. It prints
 * when its monotonic clock was 0, as wall-clock ms.
 */
import { startMock } from '../../src/mock/server.ts'

const [port, slots] = process.argv.slice(2).map(Number)
await startMock({ port, keepCalls: true, ...(slots ? { slots } : {}) })
process.stdout.write(`${performance.timeOrigin}\n`)
