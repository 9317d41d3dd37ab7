/** The upstream of the chaos runs, in a process of its own that no kill reaches: upstream.ts PORT [SLOTS] */
import { startMock } from '../../src/mock/server.ts'

const [port, slots] = process.argv.slice(2).map(Number)
const mock = await startMock({ port, keepCalls: true, ...(slots ? { slots } : {}) })
process.stdout.write(`${mock.url}\n`)
