/**
 * Two users of one tenant in the client library, at the same names for everything, on a server that is killed now and
 * then. Each has a secret in all that it sends, and the model repeats all that it was sent: whatever one of them is
 * shown is searched for the other's.
 */
import { randomUUID } from 'node:crypto'
import { connect, type Sluice } from '@sluice/client'
import { type Server, startServer } from './server.ts'

export interface Together {
  readonly answers: number
  readonly kills: number
  /** What one was shown of the other, or was kept from its own. */
  readonly wrong: readonly string[]
}

/** The same for both: conversations, lanes and idempotency keys. */
const NAMES = ['first', 'second', 'third']

/** `plant`: a module that is loaded into the server, to break it. */
export async function liveTogether(rounds: number, kills: number, plant?: string): Promise<Together> {
  const server = await startServer(
    'models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\nqueue: { max_crashes: 1000 }\n',
    plant === undefined ? {} : { NODE_OPTIONS: `--import ${plant}` },
  )
  const wrong: string[] = []
  let answers = 0
  const users = ['ann', 'bob'].map((name) => userOf(server, name, (what) => wrong.push(what)))
  try {
    const live = users.map(async (user, i) => {
      for (let round = 0; round < rounds; round++) {
        await user.ask(round)
        answers++
        await user.look(users[1 - i].jobs)
      }
    })
    let killed = 0
    const killing = (async () => {
      for (; killed < kills; killed++) {
        const before = answers
        // Somewhere in the middle of what comes next
        while (answers < before + 2 && answers < 2 * rounds) await new Promise((done) => setTimeout(done, 5))
        if (answers >= 2 * rounds) break
        await server.crash()
      }
    })()
    await Promise.all([...live, killing])
    return { answers, kills: killed, wrong }
  } finally {
    for (const { client } of users) client.close()
    await server.stop()
  }
}

interface User {
  readonly client: Sluice
  readonly jobs: string[]
  ask(round: number): Promise<void>
  look(others: readonly string[]): Promise<void>
}

function userOf(server: Server, name: string, fail: (what: string) => void): User {
  const secret = `${name}-${randomUUID()}`
  const foreign = name === 'ann' ? 'bob-' : 'ann-'
  const jobs: string[] = []
  const client = connect({
    url: server.url,
    transport: name === 'ann' ? 'websocket' : 'sse',
    ticket: () => patiently(() => ticketOf(server, name)),
  })
  const check = (where: string, text: string): void => {
    if (text.includes(foreign)) fail(`${name} sees the other's in ${where}: ${text.slice(0, 300)}`)
  }
  const get = (path: string): Promise<unknown> => patiently(() => client.http('GET', path))

  return {
    client,
    jobs,
    async ask(round) {
      const place = NAMES[round % NAMES.length]
      const job = client.submit({
        request: {
          model: 'demo',
          messages: [{ role: 'user', content: `${secret} ${round} demo: echo=1 delay=2 ttft=5` }],
        },
        idempotency_key: `key-${round}`,
        ...(round % 4 === 3 ? { lane: place } : { conversation: place }),
      })
      try {
        const { id } = await job.accepted
        jobs.push(id)
        const { text } = await job.answer()
        check(`answer ${round}`, text)
        if (!text.includes(`${secret} ${round}`)) fail(`${name} has no answer of its own: ${text.slice(0, 300)}`)
      } catch (thrown) {
        fail(`${name} is kept from its own: ${thrown}`)
      }
    },
    async look(others) {
      const conversation = NAMES[jobs.length % NAMES.length]
      for (const path of [
        '/v1/jobs?limit=1000',
        '/v1/conversations?limit=1000',
        `/v1/conversations?id=${conversation}&order=oldest`,
      ]) {
        // A conversation that has not begun is not there
        const shown = await get(path).catch((thrown: { code?: string }) => ({ code: thrown.code }))
        const text = JSON.stringify(shown)
        check(path, text)
        for (const id of others) if (text.includes(id)) fail(`${name} sees the other's ${id} in ${path}`)
      }
      const other = others.at(-1)
      if (other === undefined) return
      for (const what of ['', '/request', '/result?wait_ms=1']) {
        const shown = await get(`/v1/jobs/${other}${what}`).catch((thrown: { code?: string }) => thrown.code)
        if (shown !== 'job_not_found')
          fail(`${name} asks for the other's job${what}, and gets ${JSON.stringify(shown)}`)
      }
    },
  }
}

async function ticketOf(server: Server, user: string): Promise<string> {
  const response = await fetch(`${server.url}/v1/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user }),
  })
  return ((await response.json()) as { ticket: string }).ticket
}

/** Again while the server is away. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + 20_000
  for (;;)
    try {
      return await call()
    } catch (thrown) {
      const { code } = thrown as { code?: string }
      const isAway = code === undefined || code === 'connection_lost' || code === 'starting' || code === 'draining'
      if (!isAway || performance.now() > giveUpAt) throw thrown
      await new Promise((done) => setTimeout(done, 30))
    }
}
