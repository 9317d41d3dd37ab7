/** Refusals as vendors document them, or as their users report them, and what they mean to clients and to the plan. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RawUpstream, response, stream } from '../testing/upstream.ts'

let upstream: RawUpstream
beforeEach(async () => {
  upstream = new RawUpstream()
  await upstream.start()
})
afterEach(() => upstream.stop())

/** As the client would get it, and where it may be tried next. */
async function refusalOf(status: string, body: unknown) {
  upstream.says(response(status, typeof body === 'string' ? body : JSON.stringify(body)))
  const { end } = await upstream.call({ model: 'm', messages: [] }, { stream: false })
  if (end.kind !== 'failed') throw new Error(`${end.kind}`)
  const { error, retry } = end
  return { code: error.wire.code, row: error.code, status: error.status, retry, message: error.message }
}

const openai = (message: string, more: object = {}) => ({ error: { message, type: 'invalid_request_error', ...more } })
/** vLLM's, before it had `error` around it. */
const vllm = (message: string) => ({ object: 'error', message, type: 'BadRequestError', param: null, code: 400 })
const anthropic = (message: string, type = 'invalid_request_error') => ({ type: 'error', error: { type, message } })
const google = (message: string, reason = '') => ({
  error: {
    ...{ code: 400, message, status: 'INVALID_ARGUMENT' },
    ...(reason !== '' && { details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason }] }),
  },
})
const BAD = '400 Bad Request'
const FORBIDDEN = '403 Forbidden'

describe('a prompt that is longer than the context', () => {
  it.each([
    [
      'OpenAI',
      BAD,
      openai("This model's maximum context length is 4097 tokens. However, your messages resulted in 6988 tokens.", {
        code: 'context_length_exceeded',
      }),
    ],
    // github.com/vllm-project/vllm/issues/20409
    [
      'vLLM',
      BAD,
      vllm("This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in …)."),
    ],
    [
      'vLLM, newer',
      BAD,
      { error: { ...vllm("This model's maximum context length is 4096 tokens. However, your request has 5000.") } },
    ],
    // github.com/vllm-project/vllm/issues/4667
    ['vLLM, with nothing left', BAD, vllm('max_tokens must be at least 1, got -186.')],
    // github.com/BerriAI/litellm/issues/10793
    ['SGLang', BAD, vllm("The input (5000 tokens) is longer than the model's context length (4096 tokens).")],
    // tools/server/server-context.cpp
    [
      'llama.cpp',
      BAD,
      {
        error: {
          ...{ code: 400, type: 'exceed_context_size_error', n_prompt_tokens: 13_392, n_ctx: 8_192 },
          message: 'request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it',
        },
      },
    ],
    [
      'llama.cpp, older, by 500',
      '500 Internal Server Error',
      { error: { code: 500, message: 'the request exceeds the available context size', type: 'server_error' } },
    ],
    // github.com/OpenHands/OpenHands/issues/9937
    [
      'OpenRouter',
      BAD,
      { error: { code: 400, message: "This endpoint's maximum context length is 131072 tokens. However, you …" } },
    ],
    ['Together', BAD, openai('Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.')],
    // As Ollama's cloud says it, too
    ['Fireworks', BAD, openai('The prompt is too long: 450028, model maximum context length: 262144')],
    // github.com/BerriAI/litellm/pull/21647
    [
      'Mistral',
      BAD,
      {
        ...{ object: 'error', type: 'invalid_request_prompt', param: null, code: '3051' },
        message: 'Prompt contains 41159 tokens, too large for model with 32768 maximum context length',
      },
    ],
    // github.com/cline/cline/issues/3120
    [
      'xAI',
      BAD,
      {
        code: 'Client specified an invalid argument',
        error: "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
      },
    ],
    ['DeepSeek', BAD, openai("This model's maximum context length is 65536 tokens. However, you requested 70000 …")],
    // github.com/BerriAI/litellm/issues/15968
    ['Azure', BAD, openai('Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in …')],
    // docs.cohere.com/reference/errors
    ['Cohere', BAD, { message: 'too many tokens: size limit exceeded by 11326 tokens. Try using shorter or …' }],
    // github.com/OpenHands/OpenHands/issues/5350
    ['Anthropic', BAD, anthropic('prompt is too long: 209303 tokens > 200000 maximum')],
    // github.com/BerriAI/litellm/pull/15839
    [
      'Anthropic, with its answer',
      BAD,
      anthropic('input length and `max_tokens` exceed context limit: 195261 + 12288 > 204650, decrease input …'),
    ],
    // docs.anthropic.com/en/api/errors
    ['Anthropic, by size', '413 Payload Too Large', anthropic('Request exceeds the maximum size', 'request_too_large')],
    // github.com/google-gemini/gemini-cli/issues/6678
    [
      'Google',
      BAD,
      [google('The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).')],
    ],
    ['Bedrock', BAD, { message: 'Input is too long for requested model.' }],
    ['a proxy', '413 Content Too Large', '<html>413 Request Entity Too Large</html>'],
  ])('%s', async (_who, status, body) => {
    expect(await refusalOf(status, body)).toMatchObject({
      code: 'context_length_exceeded',
      row: 'provider_rejected',
      status: status.startsWith('413') ? 413 : 400,
      retry: false,
    })
  })

  it('within a 200, too', async () => {
    upstream.says(stream(JSON.stringify(vllm("This model's maximum context length is 16384 tokens."))))
    const { end } = await upstream.call()
    expect(end.kind === 'failed' && end.error.wire.code).toBe('context_length_exceeded')
  })

  it.each([
    ['an answer that may not be so long', 'max_tokens: 64001 > 64000, which is the maximum allowed number of …'],
    ['Cohere says of that', 'too many tokens: max tokens must be less than or equal to 4096, the maximum output'],
    ['a member that is too long', "Invalid 'user': string too long. Expected a string with maximum length 64."],
  ])('not %s', async (_what, message) => {
    expect((await refusalOf(BAD, openai(message, { code: 'own_code' }))).code).toBe('own_code')
  })
})

describe('what its policy does not allow', () => {
  it.each([
    [
      'OpenAI',
      BAD,
      openai('Invalid prompt: your prompt was flagged as potentially violating our usage policy.', {
        code: 'invalid_prompt',
      }),
    ],
    [
      'Azure',
      BAD,
      openai("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", {
        code: 'content_filter',
      }),
    ],
    ['Anthropic', BAD, anthropic('Output blocked by content filtering policy')],
    ['DeepSeek', BAD, openai('Content Exists Risk', { code: 'invalid_request_error' })],
    [
      'xAI',
      FORBIDDEN,
      { code: 'permission-denied', error: 'Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO' },
    ],
    // openrouter.ai/docs/errors
    [
      'OpenRouter',
      FORBIDDEN,
      { error: { code: 403, message: 'x/y requires moderation on Z. Your input was flagged for "violence".' } },
    ],
  ])('%s', async (_who, status, body) => {
    expect(await refusalOf(status, body)).toMatchObject({
      code: 'content_filter',
      row: 'provider_rejected',
      retry: false,
    })
  })

  it("OpenAI's own code for it stays", async () => {
    const { code } = await refusalOf(BAD, openai('Rejected', { code: 'content_policy_violation' }))
    expect(code).toBe('content_policy_violation')
  })
})

describe('our account or key, by a status that blames the request', () => {
  it.each([
    // github.com/anthropics/claude-code/issues: "Your credit balance is too low"
    [
      'Anthropic',
      anthropic('Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing'),
    ],
    ['OpenAI', openai('Billing hard limit has been reached', { code: 'billing_hard_limit_reached' })],
    ['Google', google('API key not valid. Please pass a valid API key.', 'API_KEY_INVALID')],
    ['Google, of one that expired', [google('API key expired. Please renew the API key.')]],
    ['Google, by its reason alone', google('Nein.', 'API_KEY_INVALID')],
    ['xAI', { code: 'Client specified an invalid argument', error: 'Incorrect API key provided: xa***ey.' }],
  ])('%s', async (_who, body) => {
    const { row, retry, message } = await refusalOf(BAD, body)
    expect([row, retry]).toEqual(['provider_auth', 'elsewhere'])
    expect(message).toMatch(/^The model provider/)
  })

  it.each([
    "Invalid value: 'API key not valid'. Supported values are: 'system' and 'user'.",
    "Invalid value: 'Your credit balance is too low to access the Anthropic API'.",
    "Unknown role 'insufficient_quota'",
  ])('never by what a request may have written: %s', async (message) => {
    expect((await refusalOf(BAD, { error: message })).row).toBe('provider_rejected')
    expect((await refusalOf(BAD, openai(message))).row).toBe('provider_rejected')
  })
})

describe('what a model is unable to do is asked of another deployment', () => {
  it.each([
    // github.com/ollama/ollama/issues/17301
    ['Ollama, images', BAD, openai('this model does not support image input')],
    ['Ollama, tools', BAD, openai('registry.ollama.ai/library/gemma3:4b does not support tools')],
    // github.com/studio-dots-ai/dots.ocr/issues/61
    ['vLLM, images', BAD, vllm('facebook/opt-125m is not a multimodal model None')],
    [
      'vLLM, tools',
      BAD,
      vllm('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    ],
    ['xAI', BAD, { error: 'Invalid request content: Image inputs are not supported by this model.' }],
    ['OpenAI', BAD, openai('Invalid content type. image_url is only supported by certain models.')],
    ['llama.cpp', '500 Oops', { error: { code: 500, message: 'image input is not supported - hint: … the mmproj' } }],
    ['Groq', BAD, openai('`tool calling` is not supported with this model')],
    ['Groq, schemas', BAD, openai('This model does not support response format `json_schema`.')],
  ])('%s', async (_who, status, body) => {
    expect(await refusalOf(status, body)).toMatchObject({ row: 'provider_rejected', status: 400, retry: 'elsewhere' })
  })
})

it('a request that is more than its provider allows in a minute is refused, not busy', async () => {
  const message =
    'Request too large for gpt-4.1 in organization org-1 on tokens per min (TPM): Limit 30000, Requested 42000. ' +
    'The input or output tokens must be reduced in order to run successfully.'
  const body = openai(message, { type: 'tokens', code: 'rate_limit_exceeded' })
  expect(await refusalOf('429 Too Many Requests', body)).toEqual({
    ...{ code: 'context_length_exceeded', row: 'provider_rejected', status: 413, retry: 'elsewhere', message },
  })
  const quoted = openai('Rate limit reached. (Request too large?)', { type: 'tokens', code: 'rate_limit_exceeded' })
  expect(await refusalOf('429 Too Many Requests', quoted)).toMatchObject({ row: 'provider_rate_limited' })
})
