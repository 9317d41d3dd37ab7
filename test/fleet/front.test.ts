import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { FrontProxy, isHere } from '../deploy/proxy.ts'

const open: Array<() => unknown> = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** Breaks the first connection that brings it a request, and answers all others. */
async function hiccup(): Promise<number> {
  let asked = 0
  const server = createServer((request, response) => {
    if (asked++ === 0) request.socket.destroy()
    else response.end('ok')
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  open.push(() => server.close())
  return (server.address() as AddressInfo).port
}

it.skipIf(!isHere('nginx'))('gateways that each broke one connection are asked again at once', async () => {
  const front = await FrontProxy.start('nginx', [await hiccup(), await hiccup()])
  open.push(() => front.close())
  const ask = async (): Promise<number> => (await fetch(front.url, { method: 'POST' })).status
  expect([await ask(), await ask()]).toEqual([502, 502])
  for (let i = 0; i < 10; i++) expect(await ask()).toBe(200)
})
