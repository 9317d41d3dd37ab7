/**
 * Run by young-generation.test.ts: many requests in one read of a socket, each of which keeps something. Prints how
 * many there were, in how many turns of the event loop, and the largest young generation, MB.
 */
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getHeapSpaceStatistics } from 'node:v8'
import { boundYoungGeneration } from '../../src/cli/young-generation.ts'

const REQUESTS = 1_000
const KEPT = 3_000

const megabytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size / 2 ** 20

boundYoungGeneration([])
const kept: object[] = []
let requests = 0
let turns = 0
let young = 0
let isNewTurn = true
const server = createServer((_request, response) => {
  if (isNewTurn) turns++
  isNewTurn = false
  setImmediate(() => (isNewTurn = true))
  for (let i = 0; i < KEPT; i++) kept.push([i])
  young = Math.max(young, megabytes())
  response.end()
  if (++requests < REQUESTS) return
  process.stdout.write(JSON.stringify({ requests, turns, young }))
  setImmediate(() => process.exit())
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  connect(port, '127.0.0.1').write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(REQUESTS))
})
