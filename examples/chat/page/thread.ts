/** One conversation: what was said, what is being said, and what stands in line. Knows nothing of how it is shown. */
import { type Job, type Sluice, SluiceError } from '@sluice/client'

export interface Turn {
  /** Ours: idempotency key of its job, and in its metadata, so that every tab knows whose it is. */
  readonly key: string
  /** Null until it was accepted. */
  job: string | null
  readonly question: string
  answer: string
  state: 'sending' | 'waiting' | 'answering' | 'done' | 'stopped' | 'failed'
  /** Where its job stands among all that wait; 1 = next. */
  place: number | null
  error: string | null
  /** While it is followed. */
  reading: Job | null
}

export interface Thread {
  readonly turns: readonly Turn[]
  /** Takes in what was said before, or elsewhere since. Throws SluiceError. */
  catchUp(): Promise<void>
  /** Never waits: what is said while an answer runs stands in line. */
  send(question: string): void
  stop(turn: Turn): void
  /** Turns that are answered before this one. */
  ahead(turn: Turn): number
}

interface StoredJob {
  readonly id: string
  readonly metadata: { readonly turn?: string }
  readonly error: { readonly message: string } | null
}
type Message = { readonly role: string; readonly content: unknown }
interface StoredTurn {
  readonly job: string
  readonly state: 'done' | 'failed' | 'canceled' | 'expired'
  readonly messages: readonly Message[]
  readonly answer: Message | null
}

const ENDS = { done: 'done', canceled: 'stopped', failed: 'failed', expired: 'failed' } as const
const isOver = ({ state }: Turn): boolean => state === 'done' || state === 'stopped' || state === 'failed'

export function createThread(sluice: Sluice, id: string, model: string, onChange: () => void): Thread {
  const turns: Turn[] = []
  const outbox = createOutbox(id)
  let began = false
  let catching = false

  async function catchUp(): Promise<void> {
    if (catching) return
    catching = true
    try {
      // Jobs first: one that ends meanwhile is among the turns, too
      const { data } = (await sluice.http('GET', `/v1/jobs?conversation=${id}&limit=${began ? 20 : 100}`)) as {
        data: StoredJob[]
      }
      if (!began) {
        turns.unshift(...(await told()).map(fromStored))
        began = true
      }
      const unknown = data.filter((job) => find(job) < 0)
      const questions = new Map(await Promise.all(unknown.map(async (job) => [job.id, await questionOf(job)] as const)))
      takeIn(data, questions)
      for (const { key, question } of outbox.list()) {
        if (data.some(({ metadata }) => metadata.turn === key)) outbox.remove(key)
        else if (!turns.some((turn) => turn.key === key)) submit(key, question)
      }
      onChange()
    } finally {
      catching = false
    }
  }

  const find = ({ id: job, metadata }: StoredJob): number =>
    turns.findIndex((turn) => turn.job === job || turn.key === metadata.turn)

  /** All that ended, in order. */
  async function told(): Promise<readonly StoredTurn[]> {
    try {
      return ((await sluice.http('GET', `/v1/conversations/${id}`)) as { turns: StoredTurn[] }).turns
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'conversation_not_found') return [] // nothing was said yet
      throw error
    }
  }

  async function questionOf(job: StoredJob): Promise<string> {
    return lastQuestion(((await sluice.http('GET', `/v1/jobs/${job.id}/request`)) as { messages: Message[] }).messages)
  }

  /** Jobs that this tab did not know, each at its place. `jobs`: the newest first. */
  function takeIn(jobs: readonly StoredJob[], questions: ReadonlyMap<string, string>): void {
    const unsent = turns.findIndex((turn) => turn.job === null)
    let at = unsent < 0 ? turns.length : unsent
    for (const job of jobs) {
      const known = find(job)
      if (known >= 0) {
        at = known
        turns[known].error ??= job.error?.message ?? null
        continue
      }
      const turn = newTurn(job.metadata.turn ?? job.id, questions.get(job.id) ?? '')
      turn.job = job.id
      turn.state = 'waiting'
      turns.splice(at, 0, turn)
      void follow(turn, sluice.attach(job.id))
    }
  }

  function submit(key: string, question: string): void {
    const turn = newTurn(key, question)
    turns.push(turn)
    const job = sluice.submit({
      request: { model, messages: [{ role: 'user', content: question }] },
      conversation: id,
      idempotency_key: key,
      metadata: { turn: key },
    })
    const settled = (): void => outbox.remove(key)
    job.accepted.then(settled, settled)
    void follow(turn, job)
  }

  async function follow(turn: Turn, job: Job): Promise<void> {
    turn.reading = job
    job.accepted.then(
      ({ id, queue }) => {
        turn.job = id
        if (turn.state === 'sending') turn.state = 'waiting'
        turn.place = queue?.position ?? turn.place
        onChange()
      },
      () => {}, // the loop below throws the same
    )
    try {
      for await (const event of job) {
        if (event.type === 'queue') turn.place = event.position
        else if (event.type === 'attempt') turn.state = 'answering'
        else if (event.type === 'end') {
          turn.state = ENDS[event.state]
          turn.error = event.error?.message ?? null
        }
        turn.answer = job.text // follows resets and gaps
        onChange()
      }
    } catch (error) {
      turn.state = 'failed'
      turn.error = (error as Error).message
    }
    turn.reading = null
    onChange()
  }

  return {
    turns,
    catchUp,
    send(question) {
      const key = newKey()
      outbox.add(key, question)
      submit(key, question)
      onChange()
    },
    stop(turn) {
      turn.reading?.cancel().catch((error: unknown) => {
        turn.error = (error as Error).message
        onChange()
      })
    },
    ahead: (turn) => turns.slice(0, turns.indexOf(turn)).filter((other) => !isOver(other)).length,
  }
}

const newTurn = (key: string, question: string): Turn => ({
  key,
  job: null,
  question,
  answer: '',
  state: 'sending',
  place: null,
  error: null,
  reading: null,
})

const fromStored = ({ job, state, messages, answer }: StoredTurn): Turn => ({
  ...newTurn(job, lastQuestion(messages)),
  job,
  answer: typeof answer?.content === 'string' ? answer.content : '',
  state: ENDS[state],
})

function lastQuestion(messages: readonly Message[]): string {
  const content = messages.findLast(({ role }) => role === 'user')?.content
  return typeof content === 'string' ? content : ''
}

/** Pages without TLS have no crypto.randomUUID. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('')

/** What was not accepted yet outlives a reload of its tab; sent again under its key, it is the same job. */
function createOutbox(id: string) {
  const name = `outbox-${id}`
  const list = (): Array<{ readonly key: string; readonly question: string }> =>
    JSON.parse(sessionStorage.getItem(name) ?? '[]')
  const save = (letters: ReturnType<typeof list>): void => sessionStorage.setItem(name, JSON.stringify(letters))
  return {
    list,
    add: (key: string, question: string) => save([...list(), { key, question }]),
    remove: (key: string) => save(list().filter((letter) => letter.key !== key)),
  }
}
