/**
 * Recordings of streamed answers, and the numbers that are true of each. The numbers are written down, not computed:
 * `make.ts` writes both to files, for other tools.
 */

/** Bytes that one read brought, and when: ms since the request was sent. */
export type Read = readonly [ms: number, bytes: string | Uint8Array]

export interface Expected {
  readonly first_byte_ms: number
  readonly first_token_ms: number | null
  readonly first_output_ms: number | null
  readonly last_token_ms: number | null
  readonly end_ms: number
  readonly tokens: number
  readonly token_source: 'usage' | 'estimate'
  /** Tokens that were there with the first one; exact where a usage told it. */
  readonly first_tokens: number
  readonly first_tokens_exact: boolean
  readonly tpot_ms: number | null
  readonly chunks: number
  readonly chars: number
  /** The longest gap between two chunks with a token. */
  readonly max_gap_ms: number | null
  readonly complete: boolean
  readonly error: string | null
}

export interface GoldenStream {
  readonly name: string
  /** What it tries. */
  readonly about: string
  readonly reads: readonly Read[]
  readonly expected: Expected
}

const HEAD = '"id":"chatcmpl-golden","object":"chat.completion.chunk","created":1750000000,"model":"golden"'
const event = (choices: string, more = '', eol = '\n'): string =>
  `data: {${HEAD},"choices":[${choices}]${more}}${eol}${eol}`
const delta = (text: string, index = 0): string => `{"index":${index},"delta":${text},"finish_reason":null}`
const ROLE = event(delta('{"role":"assistant","content":""}'))
const content = (text: string): string => event(delta(`{"content":${JSON.stringify(text)}}`))
const STOP = event('{"index":0,"delta":{},"finish_reason":"stop"}')
const usageOf = (tokens: number, more = ''): string =>
  `,"usage":{"prompt_tokens":12,"completion_tokens":${tokens},"total_tokens":${12 + tokens}${more}}`
const usage = (tokens: number, more = ''): string => event('', usageOf(tokens, more))
const DONE = 'data: [DONE]\n\n'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
/** `count` reads from `fromMs`, `stepMs` apart. */
const paced = (fromMs: number, stepMs: number, count: number, text: (i: number) => string): Read[] =>
  Array.from({ length: count }, (_, i) => [fromMs + i * stepMs, text(i)])
const last = (ms: number, tokens: number): Read[] => [
  [ms, STOP],
  [ms, usage(tokens)],
  [ms, DONE],
]

/** Eight tokens. */
const BUNDLE = ' one two three four five six seven eight'

/** Ten tokens, 20 ms apart, the first after 200 ms: what most of the others are made of. */
const PLAIN: Expected = {
  first_byte_ms: 50,
  first_token_ms: 200,
  first_output_ms: 200,
  last_token_ms: 380,
  end_ms: 381,
  tokens: 10,
  token_source: 'usage',
  first_tokens: 1,
  first_tokens_exact: false,
  tpot_ms: 20,
  chunks: 10,
  chars: 40,
  max_gap_ms: 20,
  complete: true,
  error: null,
}
const TEN = paced(200, 20, 10, () => content(' tok'))

/** "é€😀" and more, cut inside of its characters. */
function splitText(): Read[] {
  const whole = bytes(content('é€😀'))
  const at = whole.indexOf(0xf0) + 2
  return [
    [200, whole.subarray(0, at)],
    [210, whole.subarray(at)],
  ]
}

export const STREAMS: readonly GoldenStream[] = [
  {
    name: 'plain',
    about: 'One token a chunk, usage at the end.',
    reads: [[50, ROLE], ...TEN, ...last(381, 10)],
    expected: PLAIN,
  },
  {
    name: 'worked',
    about: 'Role at 20 ms, 4 bundles of reasoning from 400 ms, 8 of content from 720 ms: 8 tokens each, 10 ms a token.',
    reads: [
      [20, ROLE],
      ...paced(400, 80, 4, () => event(delta(`{"reasoning_content":"${BUNDLE}"}`))),
      ...paced(720, 80, 8, () => content(BUNDLE)),
      [1_281, STOP],
      [1_401, usage(96, ',"completion_tokens_details":{"reasoning_tokens":32}')],
      [1_401, DONE],
    ],
    expected: {
      ...PLAIN,
      first_byte_ms: 20,
      first_token_ms: 400,
      first_output_ms: 720,
      last_token_ms: 1_280,
      end_ms: 1_401,
      tokens: 96,
      first_tokens: 8,
      tpot_ms: 10,
      chunks: 12,
      chars: 480,
      max_gap_ms: 80,
    },
  },
  {
    name: 'role-first',
    about: 'The role comes at once, as engines do that begin to read the prompt: it is no token.',
    reads: [[5, ROLE], [6, event(delta('{"content":null}'))], ...TEN, ...last(381, 10)],
    expected: { ...PLAIN, first_byte_ms: 5 },
  },
  {
    name: 'empty-content-first',
    about: 'Empty texts before the first one: no tokens either.',
    reads: [[50, ROLE], ...paced(60, 20, 3, () => content('')), ...TEN, ...last(381, 10)],
    expected: PLAIN,
  },
  {
    name: 'reasoning',
    about: 'Reasoning as `reasoning`: the first token, but not the first output.',
    reads: [
      [50, ROLE],
      ...paced(200, 20, 5, () => event(delta('{"reasoning":" tok"}'))),
      ...paced(300, 20, 5, () => content(' tok')),
      ...last(381, 10),
    ],
    expected: { ...PLAIN, first_output_ms: 300 },
  },
  {
    name: 'reasoning-content',
    about: 'Reasoning as `reasoning_content`, beside an empty content.',
    reads: [
      [50, ROLE],
      ...paced(200, 20, 5, () => event(delta('{"content":"","reasoning_content":" tok"}'))),
      ...paced(300, 20, 5, () => content(' tok')),
      ...last(381, 10),
    ],
    expected: { ...PLAIN, first_output_ms: 300 },
  },
  {
    name: 'reasoning-twice',
    about: 'The same reasoning under two names, as engines send that change from one to the other: it counts once.',
    reads: [
      [50, ROLE],
      ...paced(200, 20, 5, () => event(delta('{"reasoning":" tok","reasoning_content":" tok"}'))),
      ...paced(300, 20, 5, () => content(' tok')),
      ...last(381, 10),
    ],
    expected: { ...PLAIN, first_output_ms: 300 },
  },
  {
    name: 'reasoning-hidden',
    about: 'Reasoning is counted and never shown: 90 of 100 tokens came before the first one that was seen.',
    reads: [
      [50, ROLE],
      ...TEN,
      [381, STOP],
      [381, usage(100, ',"completion_tokens_details":{"reasoning_tokens":90}')],
      [381, DONE],
    ],
    expected: { ...PLAIN, tokens: 100, first_tokens: 91 },
  },
  {
    name: 'tool-calls',
    about: 'A tool call: its name and its arguments are output.',
    reads: [
      [50, ROLE],
      [
        200,
        event(
          delta('{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}'),
        ),
      ],
      ...paced(220, 20, 9, () => event(delta('{"tool_calls":[{"index":0,"function":{"arguments":"1234"}}]}'))),
      [381, event('{"index":0,"delta":{},"finish_reason":"tool_calls"}')],
      [381, usage(10)],
      [381, DONE],
    ],
    expected: { ...PLAIN, chars: 36 },
  },
  {
    name: 'refusal',
    about: 'A refusal is output.',
    reads: [[50, ROLE], ...paced(200, 20, 10, () => event(delta('{"refusal":" tok"}'))), ...last(381, 10)],
    expected: PLAIN,
  },
  {
    name: 'bundled',
    about: 'Eight tokens a chunk, usage at the end alone: the tokens of the first chunk are told by its text.',
    reads: [[50, ROLE], ...paced(200, 80, 5, () => content(BUNDLE)), ...last(521, 40)],
    expected: {
      ...PLAIN,
      last_token_ms: 520,
      end_ms: 521,
      tokens: 40,
      first_tokens: 8,
      tpot_ms: 10,
      chunks: 5,
      chars: 200,
      max_gap_ms: 80,
    },
  },
  {
    name: 'usage-in-every-chunk',
    about: 'Usage accumulates in each chunk: the last one counts, and the first tells what its chunk brought.',
    reads: [
      [50, event(delta('{"role":"assistant","content":""}'), usageOf(0))],
      ...paced(200, 80, 5, (i) => event(delta(`{"content":"${BUNDLE}"}`), usageOf(8 * (i + 1)))),
      ...last(521, 40),
    ],
    expected: {
      ...PLAIN,
      last_token_ms: 520,
      end_ms: 521,
      tokens: 40,
      first_tokens: 8,
      first_tokens_exact: true,
      tpot_ms: 10,
      chunks: 5,
      chars: 200,
      max_gap_ms: 80,
    },
  },
  {
    name: 'usage-repeated',
    about: 'Each chunk has the usage of the whole answer: it tells nothing of the first.',
    reads: [
      [50, ROLE],
      ...paced(200, 20, 10, () => event(delta('{"content":" tok"}'), usageOf(10))),
      [381, STOP],
      [381, DONE],
    ],
    expected: PLAIN,
  },
  {
    name: 'usage-missing',
    about: 'Nobody counted: four characters a token, and a token a chunk at least. An estimate, and shown as one.',
    reads: [[50, ROLE], ...TEN, [381, STOP], [381, DONE]],
    expected: { ...PLAIN, token_source: 'estimate' },
  },
  {
    name: 'crlf',
    about: 'Lines end with CR LF, cut between the two; an event is complete with its empty line’s CR.',
    reads: [
      [50, ROLE.replaceAll('\n', '\r\n')],
      ...TEN.flatMap(([ms, text]): Read[] => [
        [ms, `${(text as string).replaceAll('\n', '\r\n').slice(0, -1)}`],
        [ms + 5, '\n'],
      ]),
      [391, STOP.replaceAll('\n', '\r\n')],
      [391, usage(10).replaceAll('\n', '\r\n')],
      [391, DONE.replaceAll('\n', '\r\n')],
    ],
    expected: { ...PLAIN, end_ms: 391 },
  },
  {
    name: 'split-utf8',
    about: 'Reads cut a character: an event counts from the read that completed it.',
    reads: [[50, ROLE], ...splitText(), ...paced(230, 20, 9, () => content(' tok')), ...last(391, 10)],
    expected: {
      ...PLAIN,
      first_token_ms: 210,
      first_output_ms: 210,
      last_token_ms: 390,
      end_ms: 391,
      chars: 39,
    },
  },
  {
    name: 'keep-alive',
    about: 'Comments and empty lines while the engine is busy: bytes, but no tokens.',
    reads: [
      [10, ': keep-alive\n\n'],
      [50, ROLE],
      [100, ':\n\n'],
      [150, ': OPENROUTER PROCESSING\n\n'],
      ...TEN,
      [380, ': server-timing ttft;dur=198\n\n'],
      ...last(381, 10),
    ],
    expected: { ...PLAIN, first_byte_ms: 10 },
  },
  {
    name: 'error-in-band',
    about: 'An error event after five tokens, with status 200: the answer failed.',
    reads: [
      [50, ROLE],
      ...TEN.slice(0, 5),
      [300, 'data: {"error":{"message":"the engine died","type":"server_error","code":"engine_dead"}}\n\n'],
      [300, DONE],
    ],
    expected: {
      ...PLAIN,
      last_token_ms: 280,
      end_ms: 300,
      tokens: 5,
      token_source: 'estimate',
      chunks: 5,
      chars: 20,
      complete: false,
      error: 'engine_dead',
    },
  },
  {
    name: 'cut',
    about: 'The body ends without a finish reason: not complete, whatever [DONE] says.',
    reads: [[50, ROLE], ...TEN, [381, DONE]],
    expected: { ...PLAIN, token_source: 'estimate', complete: false },
  },
  {
    name: 'several-choices',
    about:
      'Two choices, in turns: the first token of any of them; usage counts both, the pace is of the answer as a whole.',
    reads: [
      [50, event(`${delta('{"role":"assistant","content":""}', 0)},${delta('{"role":"assistant","content":""}', 1)}`)],
      ...paced(200, 20, 10, (i) => event(delta('{"content":" tok"}', i % 2))),
      [381, event('{"index":0,"delta":{},"finish_reason":"stop"}')],
      [381, event('{"index":1,"delta":{},"finish_reason":"stop"}')],
      [381, usage(10)],
      [381, DONE],
    ],
    expected: PLAIN,
  },
  {
    name: 'one-choice-open',
    about: 'Two choices, of which one has no end: not complete.',
    reads: [
      [50, ROLE],
      ...paced(200, 20, 10, (i) => event(delta('{"content":" tok"}', i % 2))),
      [381, event('{"index":0,"delta":{},"finish_reason":"stop"}')],
      [381, usage(10)],
      [381, DONE],
    ],
    expected: { ...PLAIN, complete: false },
  },
  {
    name: 'finish-only',
    about: 'An answer with nothing in it: no first token, no pace; not zero.',
    reads: [[50, ROLE], ...last(100, 0)],
    expected: {
      ...PLAIN,
      first_token_ms: null,
      first_output_ms: null,
      last_token_ms: null,
      end_ms: 100,
      tokens: 0,
      tpot_ms: null,
      chunks: 0,
      chars: 0,
      max_gap_ms: null,
    },
  },
  {
    name: 'one-token',
    about: 'A single token: there is no pace.',
    reads: [[50, ROLE], [200, content(' tok')], ...last(381, 1)],
    expected: { ...PLAIN, last_token_ms: 200, tokens: 1, tpot_ms: null, chunks: 1, chars: 4, max_gap_ms: null },
  },
  {
    name: 'gathered',
    about: 'Two events in each read, as a busy reader gets them: those of the first read came at once.',
    reads: [
      [50, ROLE],
      ...paced(200, 40, 5, () => content(' tok') + content(' tok')),
      [361, STOP],
      [361, usage(10)],
      [361, DONE],
    ],
    expected: { ...PLAIN, last_token_ms: 360, end_ms: 361, first_tokens: 2, max_gap_ms: 40 },
  },
  {
    name: 'no-last-line',
    about: 'The body ends before the empty line of its last event, which counts.',
    reads: [[50, ROLE], ...TEN, [380, usage(10)], [381, STOP.trimEnd()]],
    expected: PLAIN,
  },
]
