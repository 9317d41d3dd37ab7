/** Streams cut at random bytes, five times each, and resumed by cursor: every client ends token-exact. */

import { freePort } from '../free-port.ts'
import { tokensOf } from './check-reader.ts'
import { Http } from './client.ts'
import type { Seen } from './history.ts'
import { KEY, SluiceProcess, startUpstream } from './server.ts'
import { type Followed, readOnce, submitAndRead } from './socket.ts'

/** A stream that is not over by then never will be. */
const OVER_MS = 60_000

export async function runCuts(
  streams: number,
  cutsEach: number,
): Promise<{
  readonly exact: number
  readonly streams: number
  readonly cuts: number
  readonly wrong: readonly string[]
}> {
  const upstream = await startUpstream()
  const server = new SluiceProcess(
    [await freePort(), await freePort()],
    `models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "${upstream.url}/v1" }\n` +
      'log: { level: silent }\n',
  )
  if (!(await server.start())) throw new Error(server.printed)
  const http = new Http(server.url, KEY)
  const wrong: string[] = []
  let cuts = 0
  const tokens = 60
  const client = async (i: number): Promise<boolean> => {
    const dialect = (['chat', 'native', 'socket'] as const)[i % 3]
    const seen: Seen[] = []
    const request = {
      model: `mock-n${tokens}-d50-f100`,
      user: `s${i}`,
      messages: [{ role: 'user', content: `stream ${i}` }],
    }
    const cutAt = (): number => 200 + Math.floor(Math.random() * 3_000)
    const check = (): boolean => {
      const told = tokensOf(seen)
      const seqs = seen.map((e) => Number(e.id.split('-')[1]))
      const exact =
        told.length === tokens &&
        told.every((t, k) => t === k) &&
        seqs.every((s, k) => (k === 0 ? s > 0 : dialect === 'chat' ? s > seqs[k - 1] : s === seqs[k - 1] + 1)) &&
        (dialect === 'chat' ? seen.at(-1)?.data === '[DONE]' : seen.at(-1)?.event === 'end')
      if (!exact)
        wrong.push(
          `stream ${i} (${dialect}): ${told.length} tokens, last event ${seen.at(-1)?.id} ` +
            `${seen.at(-1)?.data.slice(0, 60)}`,
        )
      return exact
    }
    if (dialect === 'socket') {
      let followed: Followed | null = null
      for (let n = 0; n < 200 && !followed?.complete; n++) {
        const own = n < cutsEach ? cutAt() : Infinity
        if (followed === null)
          followed = await submitAndRead(server.url, KEY, { idempotency_key: `cut-${i}`, request }, own)
        else await readOnce(server.url, KEY, [followed], own)
        if (own !== Infinity && !followed?.complete) cuts++
      }
      seen.push(...(followed?.seen ?? []))
      return check()
    }
    let path: string
    if (dialect === 'chat') {
      const answer = await http.events(
        'POST',
        '/v1/chat/completions',
        { ...request, stream: true },
        {},
        (e) => seen.push(e),
        cutAt(),
      )
      cuts++
      path = answer.headers['location'] as string
    } else
      path =
        ((await http.call('POST', '/v1/jobs', { request }).catch(() => null))?.json as { events: string } | undefined)
          ?.events ?? ''
    for (let n = 0; n < 200; n++) {
      const at = seen.at(-1)?.id
      const own = n < cutsEach ? cutAt() : Infinity
      const { status, ended } = await http.events(
        'GET',
        path,
        undefined,
        at === undefined ? {} : { 'last-event-id': at },
        (e) => seen.push(e),
        own,
      )
      if (status === 204 || (status === 200 && ended)) break
      if (own !== Infinity) cuts++
    }
    return check()
  }
  // Without its server every client gives up, and what it has is judged
  let late = false
  const bound = setTimeout(() => {
    late = true
    void server.kill()
  }, OVER_MS)
  const exact = (await Promise.all(Array.from({ length: streams }, (_, i) => client(i)))).filter(Boolean).length
  clearTimeout(bound)
  if (late) wrong.unshift(`not over after ${OVER_MS / 1_000} s`)
  http.close()
  await server.remove()
  upstream.stop()
  return { exact, streams, cuts, wrong }
}
