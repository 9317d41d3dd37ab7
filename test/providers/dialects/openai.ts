/**
 * The same dialect at vendors that have it, each with what it does in its own way, as its documentation prints it.
 * These are passed on byte for byte; what is expected is that they are read right: complete, with their usage.
 */
import { data, type Fixture } from './fixture.ts'

const ask = (model: string, more: object = {}) => ({ model, messages: [{ role: 'user', content: 'Hi' }], ...more })
const chunk = (model: string, delta: object, finish: string | null = null, more: object = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1_727_120_000,
  model,
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  ...more,
})
const usage = (prompt_tokens: number, completion_tokens: number, more: object = {}) => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
  ...more,
})

export const vendors: readonly Fixture[] = [
  {
    // console.groq.com/docs/api-reference: usage in x_groq, beside its times
    name: 'groq',
    sdk: { usage: null },
    provider: 'groq',
    request: ask('groq/llama-3.3-70b-versatile'),
    body: data(
      chunk('llama-3.3-70b-versatile', { role: 'assistant', content: '' }, null, { x_groq: { id: 'req_01' } }),
      chunk('llama-3.3-70b-versatile', { content: 'Hello' }),
      chunk('llama-3.3-70b-versatile', {}, 'stop', {
        x_groq: { id: 'req_01', usage: usage(18, 2, { queue_time: 0.037, prompt_time: 0.0006, total_time: 0.46 }) },
      }),
      '[DONE]',
    ),
  },
  {
    // docs.mistral.ai/capabilities/completion: usage with the last chunk; thought as parts of content
    name: 'mistral',
    sdk: { text: '[object Object]Hello' },
    provider: 'mistral',
    request: ask('magistral-medium-latest', { max_completion_tokens: 100 }),
    body: data(
      chunk('magistral-medium-latest', { role: 'assistant', content: '' }),
      chunk('magistral-medium-latest', {
        content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'A greeting.' }] }],
      }),
      chunk('magistral-medium-latest', { content: 'Hello' }),
      chunk('magistral-medium-latest', { content: '' }, 'stop', { usage: usage(10, 20) }),
      '[DONE]',
    ),
  },
  {
    // api-docs.deepseek.com/guides/reasoning_model, …/guides/kv_cache: hits and misses of the cache
    name: 'deepseek',
    provider: 'deepseek',
    request: ask('deepseek-reasoner'),
    body: `: keep-alive\n\n${data(
      chunk('deepseek-reasoner', { role: 'assistant', content: null, reasoning_content: '' }),
      chunk('deepseek-reasoner', { content: null, reasoning_content: 'Simple.' }),
      chunk('deepseek-reasoner', { content: 'Hello', reasoning_content: null }),
      chunk('deepseek-reasoner', { content: '', reasoning_content: null }, 'stop', {
        usage: usage(12, 9, {
          prompt_tokens_details: { cached_tokens: 8 },
          completion_tokens_details: { reasoning_tokens: 6 },
          prompt_cache_hit_tokens: 8,
          prompt_cache_miss_tokens: 4,
        }),
      }),
      '[DONE]',
    )}`,
  },
  {
    // docs.x.ai/docs/guides/streaming-response: usage in every chunk, growing
    name: 'xai',
    provider: 'xai',
    request: ask('grok-4'),
    body: data(
      chunk('grok-4', { role: 'assistant', content: 'Hel' }, null, { usage: usage(41, 1), system_fingerprint: 'fp_1' }),
      chunk('grok-4', { content: 'lo' }, null, { usage: usage(41, 2), system_fingerprint: 'fp_1' }),
      chunk('grok-4', {}, 'stop', { usage: usage(41, 2, { completion_tokens_details: { reasoning_tokens: 7 } }) }),
      '[DONE]',
    ),
  },
  {
    // docs.together.ai/docs/chat-overview: text beside the delta, usage with the last
    name: 'together',
    provider: 'together',
    request: ask('together/meta-llama/Llama-3.3-70B-Instruct-Turbo'),
    body: data(
      {
        id: 'o1',
        object: 'chat.completion.chunk',
        created: 1,
        choices: [
          {
            index: 0,
            text: 'Hello',
            logprobs: null,
            finish_reason: null,
            delta: { role: 'assistant', content: 'Hello', token_id: 9906 },
          },
        ],
        model: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
        usage: null,
      },
      {
        id: 'o1',
        object: 'chat.completion.chunk',
        created: 1,
        choices: [{ index: 0, text: '', seed: 5, finish_reason: 'stop', delta: { role: 'assistant', content: '' } }],
        model: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
        usage: usage(5, 2),
      },
      '[DONE]',
    ),
  },
  {
    // docs.fireworks.ai/api-reference/post-chatcompletions
    name: 'fireworks',
    provider: 'fireworks',
    request: ask('accounts/fireworks/models/deepseek-v3'),
    body: data(
      chunk('accounts/fireworks/models/deepseek-v3', { role: 'assistant' }),
      chunk('accounts/fireworks/models/deepseek-v3', { content: 'Hello' }),
      chunk('accounts/fireworks/models/deepseek-v3', {}, 'stop', { usage: usage(6, 2) }),
      '[DONE]',
    ),
  },
  {
    // openrouter.ai/docs/api-reference/streaming: comments while it waits; usage in a last chunk of its own
    name: 'openrouter',
    provider: 'openrouter',
    request: ask('openrouter/openai/gpt-4.1'),
    body: `: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n${data(
      chunk('openai/gpt-4.1', { role: 'assistant', content: 'Hello' }, null, { provider: 'OpenAI' }),
      chunk('openai/gpt-4.1', { content: '' }, 'stop', { provider: 'OpenAI' }),
      chunk('openai/gpt-4.1', { role: 'assistant', content: '' }, null, {
        usage: usage(8, 2, { cost: 0.00002, cost_details: { upstream_inference_cost: null } }),
      }),
      '[DONE]',
    )}`,
  },
  {
    // The same page: an error in a stream, whose status was 200
    name: 'openrouter-error',
    provider: 'openrouter',
    request: ask('openrouter/openai/gpt-4.1'),
    body: data(
      chunk('openai/gpt-4.1', { role: 'assistant', content: 'Hel' }),
      chunk('openai/gpt-4.1', { content: '' }, 'error', {
        error: { code: 'server_error', message: 'Provider disconnected unexpectedly' },
      }),
    ),
  },
  {
    // docs.vllm.ai, "Reasoning Outputs": usage in a last chunk without choices
    name: 'vllm',
    provider: 'vllm',
    request: ask('Qwen/Qwen3-8B'),
    body: data(
      chunk('Qwen/Qwen3-8B', { role: 'assistant', content: '' }),
      chunk('Qwen/Qwen3-8B', { reasoning_content: 'Okay' }),
      chunk('Qwen/Qwen3-8B', { content: 'Hello' }),
      chunk('Qwen/Qwen3-8B', { content: '' }, 'stop', { stop_reason: null }),
      { ...chunk('Qwen/Qwen3-8B', {}), choices: [], usage: usage(9, 3) },
      '[DONE]',
    ),
  },
  {
    // docs.sglang.ai, "OpenAI APIs - Completions"
    name: 'sglang',
    provider: 'sglang',
    request: ask('qwen2.5'),
    body: data(
      chunk('qwen2.5', { role: 'assistant', content: '', reasoning_content: null, tool_calls: null }),
      chunk('qwen2.5', { role: null, content: 'Hello', reasoning_content: null, tool_calls: null }),
      chunk('qwen2.5', { role: null, content: null, reasoning_content: null, tool_calls: null }, 'stop', {
        matched_stop: 151_645,
      }),
      { ...chunk('qwen2.5', {}), choices: [], usage: usage(9, 2, { prompt_tokens_details: null }) },
      '[DONE]',
    ),
  },
  {
    // docs.ollama.com/api/openai-compatibility: a call in one piece; its reason is "tool_calls"
    name: 'ollama-tools',
    provider: 'ollama',
    request: ask('qwen3:8b', { max_completion_tokens: 50 }),
    body: data(
      chunk('qwen3:8b', { role: 'assistant', content: '', reasoning: 'I look it up.' }),
      chunk('qwen3:8b', {
        role: 'assistant',
        content: '',
        tool_calls: [
          {
            id: 'call_1',
            index: 0,
            type: 'function',
            function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
          },
        ],
      }),
      chunk('qwen3:8b', { role: 'assistant', content: '' }, 'tool_calls'),
      { ...chunk('qwen3:8b', {}), choices: [], usage: usage(150, 30) },
      '[DONE]',
    ),
  },
  {
    // tools/server/README.md of llama.cpp: its timings beside
    name: 'llamacpp',
    provider: 'llamacpp',
    request: ask('smol'),
    body: data(
      chunk('smol', { role: 'assistant', content: null }),
      chunk('smol', { content: 'Hello' }),
      chunk('smol', {}, 'stop', { timings: { prompt_n: 1, predicted_n: 2, predicted_per_second: 66.3 } }),
      { ...chunk('smol', {}), choices: [], usage: usage(11, 2), timings: { prompt_n: 1, predicted_n: 2 } },
      '[DONE]',
    ),
  },
]
