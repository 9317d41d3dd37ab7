/**
 * Prints a job's text as it is generated. A cut connection is reopened after the last event that was shown, until the
 * end record came; then nothing was missed and nothing shown twice (PROTOCOL.md, section 5).
 */
import { type Clock, sleep } from '../core/clock.ts'
import { ApiError, type Client } from './client.ts'
import { FailedError, type Output, UnreachableError } from './command.ts'
import { type ServerEvent, splitEvents } from './events.ts'

export interface FollowOptions {
  /** Continue after this cursor. */
  readonly after: string | null
  /** Print events as JSON lines instead of text. */
  readonly json: boolean
  readonly out: Output
  readonly clock: Clock
  /** Between two tries, growing to 20 times as much. Default 250. */
  readonly retryMs?: number
}

/** The server sends a heartbeat every 15 s of silence: without one the connection is dead. */
const SILENCE_MS = 45_000
const MAX_TRIES = 60

/**
 * The state the job ended in. Throws the server's final errors, and UnreachableError after many tries without any
 * event.
 */
export async function follow(client: Client, job: string, options: FollowOptions): Promise<string> {
  const { out, json } = options
  let cursor = options.after
  let column = 0
  const text = (piece: string): void => {
    out.write(piece)
    column = piece.endsWith('\n') ? 0 : 1
  }
  const aside = (line: string): void => {
    if (column > 0) text('\n')
    out.note(line)
  }
  let known = false
  for (let tries = 0; ; tries++) {
    try {
      const response = await connect(client, job, cursor, options.clock)
      // The cursor is at the end record: nothing more will come
      if (response === null)
        return ((await (await client.call('GET', `/v1/jobs/${job}`)).json()) as { state: string }).state
      known = true
      for await (const event of response) {
        tries = 0
        if (json) out.print(JSON.stringify({ id: event.id, event: event.type, data: JSON.parse(event.data) }))
        const end = show(event, json ? null : { text, aside })
        if (event.id !== null) cursor = event.id
        if (end !== null) return end
      }
    } catch (error) {
      const passing =
        error instanceof UnreachableError
          ? known
          : error instanceof ApiError
            ? error.status >= 500
            : !(error instanceof FailedError)
      if (!passing || tries >= MAX_TRIES) throw error
    }
    await sleep(options.clock, Math.min(2 ** tries, 20) * (options.retryMs ?? 250))
  }
}

interface Screen {
  text(piece: string): void
  aside(line: string): void
}

/** Returns the state when the event is the end. */
function show(event: ServerEvent, screen: Screen | null): string | null {
  const data = JSON.parse(event.data) as {
    choices?: ReadonlyArray<{
      index?: number
      delta?: {
        content?: string | null
        refusal?: string | null
        tool_calls?: ReadonlyArray<{ function?: { name?: string; arguments?: string } }>
      }
    }>
    n?: number
    mode?: string
    deployment?: string
    reason?: string
    state?: string
    error?: { code: string; message: string }
  }
  switch (event.type) {
    case 'chunk':
      for (const choice of data.choices ?? []) {
        if ((choice.index ?? 0) !== 0 || !choice.delta) continue
        const { content, refusal, tool_calls: calls } = choice.delta
        const called = (calls ?? []).map(({ function: f }) => `${f?.name ? `\n${f.name}: ` : ''}${f?.arguments ?? ''}`)
        screen?.text(`${content ?? ''}${refusal ?? ''}${called.join('')}`)
      }
      return null
    case 'attempt':
      if (data.n !== undefined && data.n > 1) screen?.aside(`(attempt ${data.n}, ${data.mode}, on ${data.deployment})`)
      return null
    case 'reset':
    case 'gap':
      screen?.aside(`(the text above is withdrawn: ${data.reason}; again from the start:)`)
      return null
    case 'end':
      screen?.aside(data.error ? `${data.state}: ${data.error.message} (${data.error.code})` : `(${data.state})`)
      return data.state ?? 'failed'
    default:
      return null
  }
}

/** Null when there is nothing after the cursor and never will be. */
async function connect(
  client: Client,
  job: string,
  cursor: string | null,
  clock: Clock,
): Promise<AsyncIterable<ServerEvent> | null> {
  const silence = watchSilence(clock)
  const headers = { accept: 'text/event-stream', ...(cursor === null ? {} : { 'last-event-id': cursor }) }
  const response = await client
    .call('GET', `/v1/jobs/${job}/events`, { headers, signal: silence.signal })
    .catch((error: unknown) => {
      silence.end()
      throw error
    })
  if (response.status !== 204 && response.body !== null) return splitEvents(silence.over(response.body))
  silence.end()
  return null
}

/** Aborts what has been silent for too long. */
function watchSilence(clock: Clock) {
  const abort = new AbortController()
  const start = (): (() => void) => clock.after(SILENCE_MS, () => abort.abort())
  let end = start()
  return {
    signal: abort.signal,
    end: () => end(),
    async *over(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      try {
        for await (const bytes of body) {
          end()
          end = start()
          yield bytes
        }
      } finally {
        end()
      }
    },
  }
}
