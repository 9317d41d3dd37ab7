/**
 * OpenAI's older completions. Where every deployment of a model takes them, they are passed on as they came; any other
 * model gets the prompt as a user's message, and what no message can say is refused with what to do.
 */
import { bad, boolean, type Check, checkMembers, isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, RequestForm } from '../../core/ports/dialect.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'

const USAGE = { include_usage: true }

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  [
    'stream_options',
    {
      ok: (v) => isRecord(v) && typeof (v['include_usage'] ?? false) === 'boolean',
      what: 'an object; its include_usage true or false',
    },
  ],
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

/** Of a chat completion, too. */
const SAME = [
  ...['temperature', 'top_p', 'n', 'stop', 'seed', 'presence_penalty', 'frequency_penalty', 'logit_bias'],
  ...['stream', 'stream_options', 'user', 'safety_identifier'],
]
const WHERE =
  'Only models of engines that serve /v1/completions themselves can (vLLM, llama.cpp and others, with ' +
  "`completions: true` in the model's settings)."

export const request: RequestForm = {
  path: '/v1/completions',
  kind: 'chat',
  what: 'chat completions, by which it completes prompts',
  api: "OpenAI's older Completions API",
  query: CLIENT_QUERY,
  read(sent) {
    const prompt = checkPrompt(sent)
    refuseOthers(sent)
    if (!isText(prompt)) throw bad('prompt', `This model can't take tokens: send "prompt" as a text. ${WHERE}`)
    const { model, max_tokens: most } = sent
    const value: JsonObject = { model: model as string, messages: [{ role: 'user', content: prompt }] }
    for (const name of SAME) if (sent[name] !== undefined) value[name] = sent[name] as JsonObject
    if (most !== undefined) value['max_completion_tokens'] = most as JsonObject
    return { ...shown(sent), value, body: Buffer.from(JSON.stringify(value)) }
  },
  readAsIs(sent, body) {
    checkPrompt(sent)
    return { ...shown(sent), value: sent, body }
  },
}

function shown(sent: JsonRecord): Pick<CanonicalRequest, 'stream' | 'user' | 'shownAs' | 'hidesThought'> {
  const { stream, stream_options: options } = sent
  return {
    stream: typeof stream === 'boolean' ? stream : undefined,
    user: userIn(sent),
    shownAs: isRecord(options) && options['include_usage'] === true ? USAGE : undefined,
    hidesThought: true,
  }
}

/** A text, or tokens; that of a list of one. Throws invalid_request. */
function checkPrompt(sent: JsonRecord): unknown {
  checkMembers(sent, CHECKS)
  const { prompt, messages } = sent
  if (messages !== undefined)
    throw bad('messages', '"messages" are for /v1/chat/completions; /v1/completions takes a "prompt".')
  if (isText(prompt) && prompt !== '') return prompt
  if (!Array.isArray(prompt) || prompt.length === 0)
    throw bad('prompt', '"prompt" must be a text, a list of one text, or a list of tokens.')
  if (isTokens(prompt)) return prompt
  if (prompt.length > 1)
    throw bad(
      'prompt',
      `"prompt" has ${prompt.length} prompts; send each by itself (LangChain: batchSize: 1, in Python batch_size=1), ` +
        'or all as jobs (POST /v1/jobs).',
    )
  const [only] = prompt as unknown[]
  if ((isText(only) && only !== '') || (Array.isArray(only) && only.length > 0 && isTokens(only))) return only
  throw bad('prompt', '"prompt" must be a text, a list of one text, or a list of tokens.')
}

function isTokens(list: readonly unknown[]): boolean {
  return list.every((token) => Number.isSafeInteger(token))
}

/** What a chat completion can't do. */
function refuseOthers({ suffix, echo, logprobs, best_of: best, n }: JsonRecord): void {
  const asked: ReadonlyArray<readonly [string, boolean]> = [
    ['suffix', isText(suffix) && suffix !== ''],
    ['echo', echo === true],
    ['logprobs', typeof logprobs === 'number'],
    ['best_of', typeof best === 'number' && best > (typeof n === 'number' ? n : 1)],
  ]
  for (const [name, isAsked] of asked)
    if (isAsked) throw bad(name, `This model is a chat model, which has no "${name}": leave it out. ${WHERE}`)
}
