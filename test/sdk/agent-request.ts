/** A request as coding agents send it: instructions in cached blocks, many tools, results, thought, a user of JSON. */
const cache_control = { type: 'ephemeral', ttl: '1h' } as const
const text = (words: string) => ({ type: 'text', text: words, cache_control })

const NAMES = [
  ...['Task', 'Bash', 'Glob', 'Grep', 'Read', 'Edit', 'Write', 'NotebookEdit', 'WebFetch', 'TodoWrite'],
  ...['BashOutput', 'KillShell', 'Skill', 'ExitPlanMode', 'AskUserQuestion'],
]
const tools = NAMES.map((name, i) => ({
  ...{ name, description: `${name} does what its name says.\n\nUsage:\n- Give "path" as an absolute path.` },
  input_schema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      path: { type: 'string', description: 'The absolute path', minLength: 1 },
      limit: { type: 'number', default: 2_000 },
      todos: { type: 'array', items: { type: 'object', properties: { status: { enum: ['pending', 'done'] } } } },
    },
    required: ['path'],
    additionalProperties: false,
  },
  ...{ eager_input_streaming: true, ...(i === NAMES.length - 1 && { cache_control }) },
}))

export const AGENT = {
  ...{ max_tokens: 32_000, stream: true, temperature: 1 },
  system: [
    { type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1.0; cch=00000;' },
    text('You are an agent that works on code.'),
    text('# Tone\nBe brief.\n\n<env>\nPlatform: linux\n</env>'),
  ],
  tools,
  metadata: {
    user_id: JSON.stringify({
      ...{ device_id: '0123456789abcdef'.repeat(4), account_uuid: '' },
      session_id: '11111111-2222-4333-8444-555555555555',
    }),
  },
  thinking: { type: 'adaptive', display: 'summarized' },
  output_config: { effort: 'high' },
  context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: '<system-reminder>\nToday is a day.\n</system-reminder>' },
        { type: 'text', text: 'Fix the test.', cache_control },
      ],
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Where is it?', signature: '' },
        { type: 'text', text: 'I look for it.' },
        { type: 'tool_use', id: 'toolu_1', name: 'Glob', input: { path: '/src' } },
        { type: 'tool_use', id: 'toolu_2', name: 'Bash', input: { path: '/' }, cache_control },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'a.ts\nb.ts' }] },
        { type: 'tool_result', tool_use_id: 'toolu_2', is_error: true, content: 'exit 1', cache_control },
        { type: 'text', text: '<system-reminder>\nGo on.\n</system-reminder>', cache_control },
      ],
    },
  ],
}
