/** Prints a job's text as it is generated. The client library resumes where a connection was cut. */
import { isatty } from 'node:tty'
import { connect, type Job, type JobEvent, SluiceError } from '../../client/src/index.ts'
import { version } from '../config/version.ts'
import type { Client } from './client.ts'
import { FailedError, type Output, RefusedError, UnreachableError, UsageError } from './command.ts'
import { withoutControls } from './pretty.ts'

export interface FollowOptions {
  /** Continue after this cursor. */
  readonly after: string | null
  /** Print events as JSON lines instead of text. */
  readonly json: boolean
  readonly out: Output
  /** Give up after this many tries in a row without any event. */
  readonly maxTries?: number
}

/** Some minutes: the library waits longer before each next try. */
const MAX_TRIES = 60

/** The state the job ended in. Throws the server's final errors, and UnreachableError after too many tries. */
export async function follow(client: Client, id: string, options: FollowOptions): Promise<string> {
  const { after, json, out, maxTries = MAX_TRIES } = options
  // Unknown jobs and bad keys fail as in any other command
  await client.call('GET', `/v1/jobs/${id}`)
  let tries = 0
  const sluice = connect({
    url: client.url,
    key: client.key,
    // Plain HTTP, like all other commands, so that it passes the same proxies
    transport: 'sse',
    client: { name: 'sluice', version },
    onError: () => {
      if (++tries >= maxTries) sluice.close()
    },
  })
  const show = json ? asJson(out) : asText(out)
  try {
    for await (const event of attach(sluice.attach, id, after)) {
      if ('cursor' in event) tries = 0
      show(event)
      if (event.type === 'end') return event.state
    }
    throw new FailedError('the stream ended before the job did')
  } catch (thrown) {
    const { code, status, message } = SluiceError.from(thrown)
    // The cursor is at the end record: nothing more will come
    if (code === 'already_read') return await stateOf(client, id)
    if (code === 'closed') throw new UnreachableError(`no answer from ${client.url}. Is the server running?`)
    if (thrown instanceof FailedError) throw thrown
    if (code.startsWith('cursor_')) throw new UsageError(message)
    throw status === 401 || status === 403 ? new RefusedError(message) : new FailedError(message)
  } finally {
    sluice.close()
  }
}

function attach(to: (id: string, from: { readonly cursor: string | null }) => Job, id: string, after: string | null) {
  try {
    return to(id, { cursor: after })
  } catch (error) {
    throw new UsageError(`--after: ${(error as Error).message}`)
  }
}

async function stateOf(client: Client, id: string): Promise<string> {
  return ((await (await client.call('GET', `/v1/jobs/${id}`)).json()) as { readonly state: string }).state
}

/** The events of the job's log, as on the wire (PROTOCOL.md, section 5). */
const asJson =
  (out: Output) =>
  (event: JobEvent): void => {
    const line = (id: string | null, data: object): void => out.print(JSON.stringify({ id, event: event.type, data }))
    switch (event.type) {
      case 'chunk':
      case 'usage':
        return line(event.cursor, event.chunk)
      case 'attempt':
      case 'reset': {
        const { type: _type, cursor, ...data } = event
        return line(cursor, data)
      }
      case 'end': {
        const { type: _type, cursor, seen: _seen, ...end } = event
        return line(cursor, Object.fromEntries(Object.entries(end).filter(([, value]) => value !== null)))
      }
      case 'gap':
        return line(null, { reason: event.reason })
      default:
    }
  }

/** What is shown of a chunk. */
interface Chunk {
  readonly choices?: ReadonlyArray<{
    readonly index?: number
    readonly delta?: {
      readonly content?: string | null
      readonly refusal?: string | null
      readonly tool_calls?: ReadonlyArray<{
        readonly function?: { readonly name?: string; readonly arguments?: string }
      }>
    }
  }>
}

/** The first choice's text to stdout, all else to stderr. */
function asText(out: Output): (event: JobEvent) => void {
  let isLineOpen = false
  const text = (piece: string): void => {
    // A file gets what the model wrote, a terminal nothing that steers it
    out.write(isatty(1) ? withoutControls(piece) : piece)
    if (piece !== '') isLineOpen = !piece.endsWith('\n')
  }
  const aside = (line: string): void => {
    if (isLineOpen) text('\n')
    out.note(line)
  }
  return (event) => {
    switch (event.type) {
      case 'chunk':
        for (const { index = 0, delta } of (event.chunk as Chunk).choices ?? []) {
          if (index !== 0 || !delta) continue
          const { content, refusal, tool_calls: calls } = delta
          text(`${content ?? ''}${refusal ?? ''}`)
          for (const { function: called } of calls ?? [])
            text(`${called?.name ? `\n${called.name}: ` : ''}${called?.arguments ?? ''}`)
        }
        return
      case 'attempt':
        if (event.n > 1) aside(`(attempt ${event.n}, ${event.mode}, on ${event.deployment})`)
        return
      case 'reset':
      case 'gap':
        return aside(`(the text above is withdrawn: ${event.reason}; again from the start:)`)
      case 'end':
        return aside(event.error ? `${event.state}: ${event.error.message} (${event.error.code})` : `(${event.state})`)
      default:
    }
  }
}
