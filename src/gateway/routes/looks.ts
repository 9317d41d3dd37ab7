/**
 * What the dashboard shows of one job's request, answer and log. To see a text is a look, which is in the audit where
 * texts are shown on demand alone (`dashboard.text`); a request is always shown on demand.
 */
import { isOpening, reasonOf, usageOf } from '../../core/delta.ts'
import { chunkOf, parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/fold.ts'
import { ENDPOINTS, type Job } from '../../core/job.ts'
import type { AnswerText, ErrorText, RecordGroup, RequestText } from '../../core/live.ts'
import { type Attempt, type Bytes, formatCursor, kindOf, parseEnd, payloadOf, toText } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { oneOf, tellChange } from './changes.ts'
import { Looked, lookerOf } from './looked.ts'

const PAGE_BYTES = 256 * 1024
const MOST_ANSWER_CHARS = 512 * 1024
const MOST_REQUEST_CHARS = 1_000_000
/** Records that one call looks at. */
const MOST_RECORDS = 50_000
const MOST_GROUPS = 200
const MAX_INTEGER = 999_999_999_999

export function lookRoutes(deps: GatewayDeps): readonly Route[] {
  const { jobs, log, textPolicy, clock } = deps
  const looked = new Looked()

  async function found(call: Call): Promise<Job> {
    const job = await jobs.get(call.params['id'])
    if (job === null) throw new SluiceError('job_not_found')
    return job
  }

  const tell = (call: Call, job: Job, part: 'request' | 'answer' | 'error'): Promise<void> =>
    tellChange(deps, call, {
      action: 'text-viewed',
      target: `job ${job.id}`,
      tenant: job.tenant,
      before: {},
      after: { part, role: call.exchange.role },
    })

  async function text(call: Call): Promise<Answer> {
    const part = oneOf('part', call.parameter('part') ?? 'answer', ['request', 'answer', 'error'])
    const after = call.integer('after', 0, MAX_INTEGER) ?? 0
    const policy = textPolicy()
    if (policy === 'never')
      throw new SluiceError('forbidden', { message: 'Texts are not shown here (dashboard.text: never).' })
    const job = await found(call)
    // What is read on, of a text that is open, is the same look
    const [who, what, nowMono] = [lookerOf(call.exchange), `${job.id} ${part}`, clock.monoMs()]
    const goesOn = after > 0 && looked.has(who, what, nowMono)
    if (part === 'request' || (policy === 'asked' && !goesOn)) {
      await tell(call, job, part)
      looked.add(who, what, nowMono)
    }
    if (part === 'error') return json(200, { error: job.error ?? null } satisfies ErrorText)
    return json(200, part === 'request' ? await requestOf(job) : await answerOf(job, after))
  }

  async function requestOf(job: Job): Promise<RequestText> {
    const bytes = await jobs.request(job.id)
    if (bytes === null) throw new SluiceError('job_not_found')
    const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    return {
      endpoint: ENDPOINTS[job.kind],
      request: whole.slice(0, MOST_REQUEST_CHARS),
      isCut: whole.length > MOST_REQUEST_CHARS,
    }
  }

  async function answerOf(job: Job, after: number): Promise<AnswerText> {
    const chunks: string[] = []
    const attempts: Array<AnswerText['attempts'][number]> = []
    let [seq, chars, isCut] = [after, 0, false]
    const ended = await eachRecord(job, after, (record, at) => {
      if (chars > MOST_ANSWER_CHARS) {
        isCut = true
        return false
      }
      seq = at
      const kind = kindOf(record)
      if (kind === 'attempt') {
        const { n, mode, deployment } = JSON.parse(toText(payloadOf(record))) as Attempt
        attempts.push({ attempt: n, deployment, mode, chunk: chunks.length })
      } else if (kind === 'chunk' || kind === 'document') {
        const shown = shownOf(eventOf(record, kind))
        if (shown !== '') chunks.push(shown)
        chars += shown.length
      }
      return true
    })
    return { chunks, attempts, seq, ended: ended && !isCut, isCut }
  }

  /** In order, a page at a time; resolves with whether that was all there will ever be. Throws job_gone. */
  async function eachRecord(job: Job, after: number, look: (record: Bytes, seq: number) => boolean): Promise<boolean> {
    for (let at = after; ; ) {
      const page = await log.read(job.id, at, PAGE_BYTES)
      if (page === null) throw new SluiceError('job_gone')
      for (const [index, record] of page.records.entries()) if (!look(record, page.firstSeq + index)) return false
      const next = page.firstSeq + page.records.length - 1
      if (page.records.length === 0 || next >= page.head) return page.ended
      if (next - after >= MOST_RECORDS) return false
      at = next
    }
  }

  async function records(call: Call): Promise<Answer> {
    const job = await found(call)
    const data: RecordGroup[] = []
    let attempt: number | null = null
    await eachRecord(job, 0, (record, seq) => {
      const type = kindOf(record)
      if (type === 'attempt') attempt = (JSON.parse(toText(payloadOf(record))) as Attempt).n
      const last = data.at(-1)
      const note = noteOf(record, type)
      if (last?.type === type && type === 'chunk')
        data[data.length - 1] = { ...last, toSeq: seq, note: note === '' ? last.note : joined(last.note, note) }
      else if (data.length >= MOST_GROUPS) return false
      else data.push({ fromSeq: seq, toSeq: seq, type, note, attempt })
      return true
    })
    const head = await log.head(job.id)
    return json(200, { object: 'list', cursor: formatCursor(head?.epoch ?? job.epoch, head?.head ?? 0), data })
  }

  return [
    { method: 'GET', path: '/admin/jobs/:id/text', query: ['part', 'after'], auth: 'operator', run: text },
    { method: 'GET', path: '/admin/jobs/:id/records', auth: 'operator', run: records },
  ]
}

const joined = (known: string, note: string): string =>
  known.includes(note) ? known : known === '' ? note : `${known}, ${note}`

/** Providers' events are what they are: one that is no object shows nothing. */
function eventOf(record: Bytes, kind: 'chunk' | 'document'): JsonObject {
  try {
    const event: unknown = kind === 'document' ? chunkOf(parseDocument(payloadOf(record))) : JSON.parse(toText(record))
    return isObject(event as JsonObject) ? (event as JsonObject) : {}
  } catch {
    return {}
  }
}

/** The text that a chunk adds to what is read: of its first choice, its refusal and its calls' arguments too. */
function shownOf({ choices }: JsonObject): string {
  if (!Array.isArray(choices) || !isObject(choices[0])) return ''
  const { delta } = choices[0]
  if (!isObject(delta)) return ''
  const { content, refusal, tool_calls: calls } = delta
  const said = [content, refusal].filter((one) => typeof one === 'string').join('')
  if (!Array.isArray(calls)) return said
  const asked = calls.map((call) => {
    const fn = isObject(call) && isObject(call['function']) ? call['function'] : {}
    const { name, arguments: given } = fn
    return `${typeof name === 'string' ? `${name} ` : ''}${typeof given === 'string' ? given : ''}`
  })
  return said + asked.join('')
}

/** What a record is, without its text. */
function noteOf(record: Bytes, type: RecordGroup['type']): string {
  switch (type) {
    case 'attempt': {
      const { n, mode, deployment } = JSON.parse(toText(payloadOf(record))) as Attempt
      return `${mode === 'first' && n > 1 ? 'again, nothing was shown' : mode}, ${deployment}`
    }
    case 'document':
      return 'the whole answer'
    case 'reset':
      return 'what was shown before is void'
    case 'usage':
      return 'the provider’s own count'
    case 'end': {
      const { state, error, cut } = parseEnd(record)
      return [state, error?.code, cut !== undefined && 'cut by a limit'].filter(Boolean).join(', ')
    }
    default:
      return chunkNote(eventOf(record, 'chunk'))
  }
}

function chunkNote(chunk: JsonObject): string {
  const { choices } = chunk
  const reason = Array.isArray(choices) && isObject(choices[0]) ? reasonOf(choices[0]) : null
  if (reason !== null) return `finish_reason “${reason.slice(0, 40)}”`
  if (isOpening(chunk)) return usageOf(chunk) === null ? 'role' : ''
  return 'text'
}
