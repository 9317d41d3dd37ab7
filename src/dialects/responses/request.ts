/**
 * A request of the Responses API as a chat completion. What no chat completion can carry is refused with what to do,
 * unless it is only an offer (tools that OpenAI runs) or a hint, which are left out.
 */
import { bad, boolean, type Check, checkMembers, isText, labels, whole } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import type { JobId } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, ReadContext, Recalled, RequestForm, Sealing } from '../../core/ports/dialect.ts'
import type { Block } from '../blocks.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { hasReferenceLoop } from '../references.ts'
import { jobOfItem, jobOfResponse } from './ids.ts'
import { messagesOf, type Recall } from './input.ts'
import { blocksIn, messageOf } from './items.ts'
import { wantsLogprobs } from './logprobs.ts'
import { checkKnown } from './members.ts'
import { wantsThought } from './thought.ts'
import { choiceOf, type Tools, toolsOf } from './tools.ts'

const MAX_INSTRUCTIONS_ITEMS = 100
const object: Check = { ok: isRecord, what: 'an object' }
const list: Check = { ok: Array.isArray, what: 'a list' }
const string: Check = { ok: isText, what: 'a string' }

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  ['background', boolean],
  ['store', boolean],
  ['parallel_tool_calls', boolean],
  ['user', userCheck],
  ['safety_identifier', userCheck],
  ['previous_response_id', string],
  ['tools', list],
  ['include', list],
  ['reasoning', object],
  ['text', object],
  ['metadata', labels(16)],
  ['max_output_tokens', whole(1, Number.MAX_SAFE_INTEGER)],
  ['top_logprobs', whole(0, 20)],
])

/** Sent on as they are. */
const SAME = ['temperature', 'top_p', 'parallel_tool_calls', 'prompt_cache_key', 'service_tier', 'user']
const ALSO_SAME = [
  'safety_identifier',
  'prompt_cache_retention',
  'seed',
  'stop',
  'presence_penalty',
  'frequency_penalty',
]
/** Shown in the response as they were sent. */
const ECHOED = ['max_output_tokens', 'max_tool_calls', 'metadata', 'parallel_tool_calls', 'previous_response_id']
const ALSO_ECHOED = ['prompt_cache_key', 'safety_identifier', 'service_tier', 'store', 'temperature', 'top_p']
const ECHOED_TOO = ['truncation', 'user', 'background', 'reasoning', 'top_logprobs']
/** Shown as they were sent while they are short: a job in line keeps them in memory. */
const LONG = ['instructions', 'tools', 'tool_choice', 'text']
const MAX_LONG_CHARS = 4_096

export const request = (sealing: Sealing): RequestForm => ({
  path: '/v1/responses',
  kind: 'chat',
  what: 'chat completions, which responses are made of',
  api: "OpenAI's Responses API",
  query: CLIENT_QUERY,
  detaches: ({ background }) => background === true,
  counts: {
    path: '/v1/responses/input_tokens',
    reply: (tokens) => ({ object: 'response.input_tokens', input_tokens: tokens }),
  },
  conversationIn,
  refersTo: jobsIn,
  read: (sent, _bytes, context) => readRequest(sent, context, sealing),
})

function conversationIn({ conversation }: JsonRecord): string | null {
  if (conversation === undefined || conversation === null) return null
  const id = isRecord(conversation) ? conversation['id'] : conversation
  if (isText(id)) return id
  throw bad('conversation', '"conversation" must be the id of a conversation, or an object with its "id".')
}

function jobsIn({ previous_response_id: previous, input }: JsonRecord): ReadonlySet<JobId> {
  const jobs = new Set<JobId>()
  const add = (job: JobId | null): void => {
    if (job !== null) jobs.add(job)
  }
  if (isText(previous)) add(jobOfResponse(previous))
  if (Array.isArray(input))
    for (const item of input)
      if (isRecord(item) && item['type'] === 'item_reference' && isText(item['id'])) add(jobOfItem(item['id']))
  return jobs
}

function readRequest(sent: JsonRecord, context: ReadContext | undefined, sealing: Sealing): CanonicalRequest {
  checkMembers(sent, CHECKS)
  refuseOthers(sent)
  const { model, input, instructions, previous_response_id: previous, max_output_tokens: most, stream } = sent
  // It is looked up where a request is posted itself
  if (context?.recalled === undefined && conversationIn(sent) !== null) throw onlyPosted('conversation')
  const lead = leadOf(instructions)
  const known = toolsOf(sent['tools'])
  const told = {
    stream: typeof stream === 'boolean' ? stream : undefined,
    user: userIn(sent),
    shownAs: echoOf(sent, known, lead.length),
  }
  // Whether it is the same request is told by what was sent
  if (context?.repeated !== undefined) return canonical(context.repeated, told)
  const { recalled, tenant } = context ?? {}
  const recall = recallIn(recalled)
  const open = (sealed: string): string | null => (tenant === undefined ? null : sealing.open(sealed, tenant))
  const before = isText(previous) ? conversation(previous, recalled, recall) : []
  const { tools } = known
  const messages = [...lead, ...before, ...messagesOf(input, recall, open)]
  const value: JsonObject = { model: model as string, messages }
  for (const name of [...SAME, ...ALSO_SAME]) if (sent[name] !== undefined) value[name] = sent[name] as JsonObject
  // Of some engines, where there are no tools
  if (tools.length === 0) delete value['parallel_tool_calls']
  if (typeof most === 'number') value['max_completion_tokens'] = most
  if (tools.length > 0) value['tools'] = tools.map(({ canonical }) => canonical)
  const choice = choiceOf(sent['tool_choice'], tools)
  if (choice !== undefined) value['tool_choice'] = choice
  addText(value, sent['text'])
  if (wantsLogprobs(sent)) {
    value['logprobs'] = true
    if (typeof sent['top_logprobs'] === 'number') value['top_logprobs'] = sent['top_logprobs']
  }
  const { effort = null } = isRecord(sent['reasoning']) ? sent['reasoning'] : {}
  if (effort !== null) value['reasoning_effort'] = effort as string
  if ((tools.length > 0 || value['response_format']) && hasReferenceLoop(value))
    throw bad(tools.length > 0 ? 'tools' : 'text', 'A schema has a $ref that leads back to itself.')
  const run = isText(previous) ? recalled?.get(jobOfResponse(previous)!)?.run : undefined
  return canonical(value, { ...told, ...(run !== undefined && { run }) })
}

const canonical = (value: JsonRecord, told: Omit<CanonicalRequest, 'value' | 'body'>): CanonicalRequest => ({
  value,
  body: Buffer.from(JSON.stringify(value)),
  ...told,
})

// ---------------------------------------------------------------- what came before

const GONE = 'It was deleted, was sent with "store": false, or its retention is over: send the conversation as "input".'

const recallIn = (recalled: ReadonlyMap<JobId, Recalled> | undefined): Recall => {
  const known = new Map<JobId, readonly Block[]>()
  return (job, param) => {
    let blocks = known.get(job)
    if (blocks === undefined) {
      if (recalled === undefined) throw onlyPosted(param)
      const one = recalled.get(job)
      if (one === undefined) throw bad(param, `There is no such item. ${GONE}`)
      blocks = blocksIn(one.records)
      known.set(job, blocks)
    }
    return blocks
  }
}

const onlyPosted = (param: string) =>
  bad(
    param,
    'Earlier responses and conversations can be referred to only where the request itself is posted to /v1/responses.',
  )

/** An earlier response's whole conversation: what it was asked, without its instructions, and its answer. */
function conversation(id: string, recalled: ReadonlyMap<JobId, Recalled> | undefined, recall: Recall): JsonObject[] {
  const param = 'previous_response_id'
  if (recalled === undefined) throw onlyPosted(param)
  const job = jobOfResponse(id)
  const before = job === null ? undefined : recalled.get(job)
  if (before === undefined || job === null) throw bad(param, `There is no response "${id.slice(0, 64)}". ${GONE}`)
  if (before.end !== 'done')
    throw bad(
      param,
      before.end === null
        ? `The response "${id}" is not complete yet: wait for it, or cancel it and send the conversation as "input".`
        : `The response "${id}" has no answer to go on from (${before.end}): send the conversation as "input".`,
    )
  if (before.conversation !== null)
    throw bad(
      param,
      `The response "${id}" is a turn of a conversation, which remembers by itself: name that as "sluice": ` +
        '{"conversation": "…"}, and leave "previous_response_id" out.',
    )
  const { messages } = before.request
  if (!Array.isArray(messages)) throw bad(param, `The response "${id}" is no conversation.`)
  const led = before.job.shownAs?.['lead']
  const answer = messageOf(job, recall(job, param))
  return [...(messages.slice(typeof led === 'number' ? led : 0) as JsonObject[]), ...(answer === null ? [] : [answer])]
}

/** Instructions are of this response alone. */
function leadOf(instructions: unknown): JsonObject[] {
  if (instructions === undefined || instructions === null || instructions === '') return []
  if (isText(instructions)) return [{ role: 'system', content: instructions }]
  if (!Array.isArray(instructions) || instructions.length > MAX_INSTRUCTIONS_ITEMS)
    throw bad('instructions', `"instructions" must be a text, or a list of at most ${MAX_INSTRUCTIONS_ITEMS} items.`)
  return messagesOf(instructions, (_job, param) => {
    throw bad(param.replace('input', 'instructions'), 'Instructions are not references: send their text.')
  })
}

// ---------------------------------------------------------------- the rest

function addText(value: JsonObject, text: unknown): void {
  if (!isRecord(text)) return
  const { format, verbosity } = text
  if (isText(verbosity)) value['verbosity'] = verbosity
  if (!isRecord(format)) return
  const { type, ...schema } = format
  if (type === 'json_schema') value['response_format'] = { type, json_schema: schema as JsonObject }
  else if (type === 'json_object') value['response_format'] = { type }
  else if (type !== 'text')
    throw bad('text.format.type', '"text.format.type" must be text, json_object or json_schema.')
}

/** Throws invalid_request for what would change the answer's meaning if it were left out. */
function refuseOthers(sent: JsonRecord): void {
  const { prompt, previous_response_id: previous, n, background, store } = sent
  checkKnown(sent)
  if (background === true && store === false)
    throw bad('store', 'A response in the background is read by its id: with "background": true leave "store" out.')
  if (prompt !== undefined && prompt !== null)
    throw bad('prompt', '"prompt" names a template that only OpenAI has: send its text as "instructions" and "input".')
  if (conversationIn(sent) !== null && isText(previous))
    throw bad('previous_response_id', 'A turn of a conversation goes on from it: leave "previous_response_id" out.')
  if (n !== undefined && n !== null && n !== 1) throw bad('n', 'A response has one answer: leave "n" out.')
}

function echoOf(sent: JsonRecord, { sent: tools, namespaces }: Tools, lead: number): JsonRecord {
  const echo: Record<string, unknown> = {}
  for (const name of [...ECHOED, ...ALSO_ECHOED, ...ECHOED_TOO]) {
    const value = sent[name]
    if (value !== undefined && value !== null) echo[name] = value
  }
  const conversation = conversationIn(sent)
  if (conversation !== null) echo['conversation'] = { id: conversation }
  if (lead > 0) echo['lead'] = lead
  if (wantsThought(sent)) echo['thought'] = true
  if (wantsLogprobs(sent)) echo['logprobs'] = true
  if (Object.keys(namespaces).length > 0) echo['namespaces'] = namespaces
  for (const name of LONG) {
    const value = name === 'tools' ? tools : sent[name]
    if (value === undefined || value === null || (name === 'tools' && tools.length === 0)) continue
    if ((isText(value) ? value : JSON.stringify(value)).length <= MAX_LONG_CHARS) echo[name] = value
  }
  return echo
}
