/** What to tell whoever asks for a route that is not here: the way out, where we know it. */
import { SluiceError } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'

/** Longer paths are not compared with ours. */
const MAX_COMPARED_CHARS = 64

const CHAT = 'POST /v1/chat/completions'
const HINTS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(?:\/v1)+\/?$/, 'This is the base URL of the API: try GET /v1/models.'],
  [
    /^\/(?:v1\/)*responses(?:\/|$)/,
    `The Responses API is not served; ${CHAT} is. AI SDK: openai.chat("model"). Agents SDK: ` +
      `set_default_openai_api("chat_completions"), in JavaScript setOpenAIAPI("chat_completions"). ` +
      `SDKs: client.chat.completions.create(…). Codex: wire_api = "chat".`,
  ],
  [/^\/(?:v1\/)*completions$/, `Legacy completions are not served: send the prompt as a message to ${CHAT}.`],
  [
    /^\/(?:v1\/)*(?:messages|complete)(?:\/|$)/,
    `Anthropic's API is not served: use a client of OpenAI's API with ${CHAT}.`,
  ],
  [
    /^\/v1(?:alpha|beta)\d*\/|:(?:stream)?generateContent$/i,
    `Google's API is not served: use a client of OpenAI's API with ${CHAT}.`,
  ],
  [/^\/openai\//, 'Azure paths are not served: use the plain OpenAI client, its base URL ending in /v1.'],
  [/^\/api\/(?:chat|generate|tags|embed)/, `Ollama's API is not served: use ${CHAT}, POST /v1/embeddings.`],
  [
    /^\/(?:v1\/)*(?:batches|files)(?:\/|$)/,
    'Batches are not served: POST /v1/jobs takes up to 1,000 requests at once.',
  ],
  [
    /^\/(?:v1\/)*(?:audio|images|videos|moderations|realtime|assistants|threads|vector_stores|fine_tuning)(?:\/|$)/,
    'Of the OpenAI API, chat completions, embeddings and models are served: call the provider for the rest.',
  ],
  [
    /^\/admin(?:\/|$)/,
    'The admin API has a listener of its own: the public port + 1, unless admin.port says otherwise.',
  ],
  [/^\/metrics$/, 'Figures are on the admin listener: GET /admin/stats.'],
  [
    /.\/(?:chat\/completions|embeddings|models)\/?$/,
    'The base URL of an SDK ends in /v1, with nothing before or after that path: see what this one adds.',
  ],
]

/** `routes`: the paths of this listener. */
export function noRoute(method: string, path: string, routes: Iterable<string>): SluiceError {
  const hint = HINTS.find(([pattern]) => pattern.test(path))?.[1]
  if (hint !== undefined) return new SluiceError('route_not_found', { message: hint })
  const shown = path.length > MAX_COMPARED_CHARS ? `${path.slice(0, MAX_COMPARED_CHARS)}…` : path
  const near = path.length > MAX_COMPARED_CHARS ? '' : didYouMean(path, routes)
  return new SluiceError('route_not_found', {
    message: `There is no such route: ${method} ${shown}.${near} The API begins with /v1.`,
  })
}
