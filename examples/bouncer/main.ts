/**
 * The bouncer: user A sends a loop of 50 PDFs, a prompt of 80,000 tokens comes in, an agent goes in circles, and user B
 * of the same tenant and model chats on.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/bouncer/main.ts
 */
const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')

interface Answer {
  readonly ok: boolean
  readonly ms: number
  /** Of a refusal. */
  readonly message: string
  readonly retry: string | null
}

const PDFS = 50
const MESSAGES = 8
/** About 1,300 tokens. */
const PDF = 'The parties agree that the supplier delivers the goods within thirty days of the order. '.repeat(80)
const WORDS = 'All work and no play makes Jack a dull boy. '

/** A budget of its own: those of earlier starts may be spent. */
const RUN = `agent-${Date.now()}`

const startedAt = performance.now()
const [loop, chat, bomb, agent] = await Promise.all([loopOfPdfs(), chatOn(), contextBomb(), agentInCircles()])

const served = loop.filter(({ ok }) => ok).length
const refused = loop.find(({ ok }) => !ok)
say(`User A: ${served} of ${PDFS} PDFs were read, ${PDFS - served} were refused.`, refused?.message)
const slowest = Math.max(...chat.map(({ ms }) => ms))
const answered = chat.filter(({ ok }) => ok).length
say(`User B: ${answered} of ${MESSAGES} messages were answered meanwhile, the slowest in ${seconds(slowest)}.`)
say(`The prompt of 80,000 tokens was refused in ${Math.ceil(bomb.ms)} ms; retry: ${bomb.retry}.`, bomb.message)
say(`The agent was stopped at step ${agent.steps}.`, agent.last.message)
say(`All of it took ${seconds(performance.now() - startedAt)}. What each has used of late:`)
for (const { user, attempts, dollars } of await usage())
  process.stdout.write(`  ${(user ?? 'no user').padEnd(8)} ${attempts} calls of the model, $${dollars}\n`)
process.exitCode = answered === MESSAGES && served < PDFS && !bomb.ok && !agent.last.ok ? 0 : 1

/** As fast as it can. */
function loopOfPdfs(): Promise<Answer[]> {
  return Promise.all(Array.from({ length: PDFS }, (_, i) => ask({ user: 'A', content: `PDF ${i}: ${PDF}` })))
}

async function chatOn(): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let i = 1; i <= MESSAGES; i++) answers.push(await ask({ user: 'B', content: `Message ${i}. demo: tokens=20` }))
  return answers
}

async function contextBomb(): Promise<Answer> {
  // In the middle of it all
  await new Promise((done) => setTimeout(done, 1_000))
  return ask({ user: 'C', content: WORDS.repeat(7_300) })
}

/** Each step brings all that came before. */
async function agentInCircles(): Promise<{ readonly steps: number; readonly last: Answer }> {
  for (let steps = 1; ; steps++) {
    const content = `Step ${steps}: ${WORDS.repeat(steps * 20)} demo: tokens=50 delay=2`
    const last = await ask({ run: RUN, content })
    if (!last.ok || steps >= 500) return { steps, last }
  }
}

/** The one call that all of them make. */
async function ask({ user, run, content }: { user?: string; run?: string; content: string }): Promise<Answer> {
  const from = performance.now()
  const response = await call('/v1/chat/completions', {
    model: SLUICE_MODEL,
    messages: [{ role: 'user', content }],
    ...(user !== undefined && { user }),
    ...(run !== undefined && { sluice: { run } }),
  })
  const { error } = (await response.json()) as { error?: { message: string } }
  if (response.status === 401) fail(error!.message)
  return {
    ok: response.ok,
    ms: performance.now() - from,
    message: error?.message ?? '',
    retry: response.headers.get('x-should-retry'),
  }
}

interface Used {
  readonly user: string | null
  readonly attempts: number
  readonly dollars: string
}

async function usage(): Promise<readonly Used[]> {
  const response = await call('/v1/usage?group_by=user')
  const { data } = (await response.json()) as { data: readonly Used[] }
  return data
}

async function call(path: string, body?: object): Promise<Response> {
  const headers = { authorization: `Bearer ${SLUICE_API_KEY}`, 'content-type': 'application/json' }
  try {
    const post = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    return await fetch(SLUICE_URL + path, { headers, ...post })
  } catch {
    return fail(`${SLUICE_URL} can't be reached; is Sluice running there?`)
  }
}

function say(line: string, cause = ''): void {
  process.stdout.write(`${line}\n${cause === '' ? '' : `  ${cause}\n`}`)
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
