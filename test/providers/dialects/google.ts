/**
 * Answers of Gemini's API as its documentation prints them: https://ai.google.dev/api/generate-content ("Generate a
 * stream"), https://ai.google.dev/gemini-api/docs/function-calling (the call), …/docs/thinking (thought summaries),
 * …/docs/thought-signatures (its signature) and …/docs/safety-settings (a stop for safety).
 */
import { data, type Fixture } from './fixture.ts'

const MODEL = 'gemini-2.5-flash'
const chunk = (parts: readonly object[], more: object = {}, usage: object = {}) => ({
  candidates: [{ content: { parts, role: 'model' }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 4, totalTokenCount: 4, ...usage },
  modelVersion: MODEL,
  responseId: 'lZuBaJ3pMLKFnvgP8Y6S8Ak',
})
const ask = (content: string, more: object = {}) => ({ model: MODEL, messages: [{ role: 'user', content }], ...more })
const STOP = { finishReason: 'STOP' }

export const google: readonly Fixture[] = [
  {
    name: 'google-text',
    provider: 'google',
    request: ask('Explain how AI works'),
    body: data(
      chunk([{ text: 'AI learns' }]),
      chunk([{ text: ' patterns from data.' }]),
      chunk([{ text: '' }], STOP, { candidatesTokenCount: 7, totalTokenCount: 11, cachedContentTokenCount: 2 }),
    ),
  },
  {
    name: 'google-tools',
    provider: 'google',
    request: ask('Schedule a meeting', {
      tools: [{ type: 'function', function: { name: 'schedule_meeting', parameters: { type: 'object' } } }],
      tool_choice: 'required',
    }),
    body: data(
      chunk(
        [
          {
            functionCall: { name: 'schedule_meeting', args: { topic: 'Q3 planning', time: '10:00' } },
            thoughtSignature: 'CiQBcsjafGvXtXs',
          },
        ],
        STOP,
        { candidatesTokenCount: 20, totalTokenCount: 24 },
      ),
    ),
  },
  {
    name: 'google-thinking',
    provider: 'google',
    request: ask('What is the sum of the first 50 primes?', { reasoning_effort: 'high' }),
    body: data(
      chunk([{ text: '**Summing primes**', thought: true }]),
      chunk([{ text: '5117' }], STOP, { candidatesTokenCount: 4, thoughtsTokenCount: 30, totalTokenCount: 38 }),
    ),
  },
  {
    name: 'google-safety',
    provider: 'google',
    request: ask('Say it'),
    body: data(chunk([{ text: 'I' }]), chunk([], { finishReason: 'SAFETY' }, { totalTokenCount: 5 })),
  },
  {
    name: 'google-cut',
    provider: 'google',
    request: ask('Say it'),
    body: data(chunk([{ text: 'I' }]), chunk([{ text: ' will' }])),
  },
  {
    name: 'google-document',
    provider: 'google',
    isDocument: true,
    request: ask('Explain how AI works'),
    body: JSON.stringify(
      chunk([{ text: 'AI learns patterns from data.' }], STOP, { candidatesTokenCount: 7, totalTokenCount: 11 }),
    ),
  },
]
