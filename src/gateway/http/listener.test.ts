import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, it } from 'vitest'
import { systemClock as clock } from '../../core/clock.ts'
import { stopListening } from './listener.ts'

const CONNECTIONS = 40

it('connections that wait to be accepted are, before the port is closed', async () => {
  const server = createServer((_, response) => response.setHeader('connection', 'close').end('served'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1'))
  const answers = sockets.map(async (socket) => {
    socket.end('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    let text = ''
    for await (const part of socket) text += part
    return text
  })
  const closed = Promise.withResolvers<void>()
  stopListening(server, clock, closed.resolve)
  const served = (await Promise.allSettled(answers)).filter(
    (one) => one.status === 'fulfilled' && one.value.endsWith('served'),
  )
  expect(served.length).toBe(CONNECTIONS)
  await closed.promise
  const late = connect(port, '127.0.0.1')
  await expect(once(late, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})
