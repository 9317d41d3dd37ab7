/**
 * Answers of Gemini on Vertex AI as its documentation prints them:
 * https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference ("Response", and the streamed one),
 * …/docs/model-reference/function-calling, …/docs/thinking, …/docs/multimodal/configure-safety-filters (a prompt that
 * is blocked) and https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429.
 */
import { data, type Fixture } from './fixture.ts'

const MODEL = 'gemini-2.5-flash'
const usage = (more: object) => ({
  promptTokenCount: 8,
  trafficType: 'ON_DEMAND',
  promptTokensDetails: [{ modality: 'TEXT', tokenCount: 8 }],
  ...more,
})
const chunk = (parts: readonly object[], more: object = {}, used: object = { trafficType: 'ON_DEMAND' }) => ({
  candidates: [{ content: { role: 'model', parts }, ...more }],
  usageMetadata: used,
  modelVersion: MODEL,
  createTime: '2025-08-14T17:32:42.511803Z',
  responseId: 'qh6eaP3zHpW8nvgP3dWW-Ak',
})
const ask = (content: unknown, more: object = {}) => ({ model: MODEL, messages: [{ role: 'user', content }], ...more })
const SAFE = [{ category: 'HARM_CATEGORY_HATE_SPEECH', probability: 'NEGLIGIBLE', probabilityScore: 0.05 }]
const STOP = { finishReason: 'STOP', safetyRatings: SAFE, avgLogprobs: -0.19 }
const LIGHT = {
  type: 'function',
  function: {
    name: 'set_light_values',
    description: 'Sets brightness and color',
    parameters: { type: 'object', properties: { brightness: { type: 'integer' } }, required: ['brightness'] },
  },
}

export const vertex: readonly Fixture[] = [
  {
    name: 'vertex-text',
    provider: 'vertex',
    request: ask('Why is the sky blue?', { max_tokens: 99, temperature: 0.2, stop: 'END' }),
    body: data(
      chunk([{ text: 'The sky' }]),
      chunk([{ text: ' is blue.' }]),
      chunk([], STOP, usage({ candidatesTokenCount: 6, totalTokenCount: 14, cachedContentTokenCount: 4 })),
    ),
  },
  {
    name: 'vertex-tools',
    provider: 'vertex',
    request: ask('Turn the lights down', { tools: [LIGHT], tool_choice: 'required' }),
    body: data(
      chunk(
        [
          {
            functionCall: { name: 'set_light_values', args: { brightness: 25 } },
            thoughtSignature: 'CiQBcsjafGvXtXs',
          },
        ],
        STOP,
        usage({ candidatesTokenCount: 12, totalTokenCount: 20 }),
      ),
    ),
  },
  {
    name: 'vertex-results',
    provider: 'vertex',
    request: {
      model: MODEL,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Turn the lights down' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'set_light_values', arguments: '{"brightness":25}' },
              extra_content: { google: { thought_signature: 'CiQBcsjafGvXtXs' } },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '{"brightness":25}' },
      ],
      tools: [LIGHT],
    },
    body: data(chunk([{ text: 'Done.' }], STOP, usage({ candidatesTokenCount: 2, totalTokenCount: 10 }))),
  },
  {
    name: 'vertex-thinking',
    provider: 'vertex',
    request: ask('How many days are in 3 years?', { reasoning_effort: 'low' }),
    body: data(
      chunk([{ text: 'Three times 365.', thought: true }]),
      chunk([{ text: '1095' }], STOP, usage({ candidatesTokenCount: 4, thoughtsTokenCount: 20, totalTokenCount: 32 })),
    ),
  },
  {
    name: 'vertex-blocked',
    provider: 'vertex',
    request: ask('Say it'),
    body: data({
      promptFeedback: { blockReason: 'PROHIBITED_CONTENT' },
      usageMetadata: { promptTokenCount: 8, totalTokenCount: 8, trafficType: 'ON_DEMAND' },
      modelVersion: MODEL,
    }),
  },
  {
    name: 'vertex-safety',
    provider: 'vertex',
    request: ask('Say it'),
    body: data(
      chunk([{ text: 'I' }]),
      chunk([], { finishReason: 'SAFETY', safetyRatings: [{ ...SAFE[0], blocked: true }] }, usage({})),
    ),
  },
  {
    name: 'vertex-cut',
    provider: 'vertex',
    request: ask('Say it'),
    body: data(chunk([{ text: 'I' }]), chunk([{ text: ' will' }])),
  },
  {
    name: 'vertex-exhausted',
    provider: 'vertex',
    isLimit: true,
    status: 429,
    isDocument: true,
    request: ask('Say it'),
    body: JSON.stringify({
      error: {
        code: 429,
        message: 'Resource exhausted, please try again later.',
        status: 'RESOURCE_EXHAUSTED',
      },
    }),
  },
  {
    name: 'vertex-document',
    provider: 'vertex',
    isDocument: true,
    request: ask('A book, as JSON.', {
      response_format: { type: 'json_schema', json_schema: { name: 'book', schema: { type: 'object' } } },
    }),
    body: JSON.stringify(
      chunk([{ text: '{"title":"Ulysses"}' }], STOP, usage({ candidatesTokenCount: 7, totalTokenCount: 15 })),
    ),
  },
]
