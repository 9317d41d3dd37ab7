/** The same request in three ways. */
export const LANGUAGES = ['curl', 'Python', 'TypeScript'] as const
export type Language = (typeof LANGUAGES)[number]

/** `key` null: the reader's own, from the environment. */
export interface Asked {
  readonly base: string
  readonly model: string
  readonly text: string
  readonly key: string | null
}

/** In pieces: before the key, the key, after it. */
export function snippet(language: Language, { base, model, text, key }: Asked): readonly [string, string, string] {
  const quoted = JSON.stringify(text)
  switch (language) {
    case 'curl': {
      const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: text }] })
      return [
        `curl -N ${base}/v1/chat/completions \\\n  -H "authorization: Bearer `,
        key ?? '$KEY',
        `" \\\n  -H 'content-type: application/json' \\\n  -d '${body.replaceAll("'", "'\\''")}'`,
      ]
    }
    case 'Python':
      return [
        `from openai import OpenAI\n\nclient = OpenAI(\n    base_url="${base}/v1",\n    api_key=`,
        key === null ? 'os.environ["KEY"]' : `"${key}"`,
        `,\n)\nfor chunk in client.chat.completions.create(\n    model="${model}",\n    stream=True,\n` +
          `    messages=[{"role": "user", "content": ${quoted}}],\n):\n` +
          '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
      ].map((part, at) => (at === 0 && key === null ? `import os\n${part}` : part)) as [string, string, string]
    case 'TypeScript':
      return [
        `import OpenAI from 'openai'\n\nconst client = new OpenAI({\n  baseURL: '${base}/v1',\n  apiKey: `,
        key === null ? 'process.env.KEY' : `'${key}'`,
        `,\n})\nconst stream = await client.chat.completions.create({\n  model: '${model}',\n  stream: true,\n` +
          `  messages: [{ role: 'user', content: ${quoted} }],\n})\n` +
          "for await (const { choices } of stream) process.stdout.write(choices[0]?.delta.content ?? '')",
      ]
  }
}
