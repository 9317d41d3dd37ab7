/** The client of the chaos: it knows of an answer what it was told, however that ends. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { Http } from './client.ts'
import type { Seen } from './history.ts'

it('a stream that falls silent: its status and headers are known, so that it can be resumed', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { location: '/v1/jobs/job_1/events' })
    response.write('id: 1-1\ndata: {}\n\n')
  })
  await new Promise<void>((listens) => server.listen(0, '127.0.0.1', listens))
  const http = new Http(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'key', 100)
  const seen: Seen[] = []
  const { status, ended, headers } = await http.events('POST', '/', {}, {}, (event) => seen.push(event))
  expect(seen.map(({ id }) => id)).toEqual(['1-1'])
  expect({ status, ended, location: headers['location'] }).toEqual({
    status: 200,
    ended: false,
    location: '/v1/jobs/job_1/events',
  })
  http.close()
  server.closeAllConnections()
  await new Promise((closed) => server.close(closed))
})
