/**
 * The AI SDK over Sluice, with nothing changed but the base URL: a stream, a tool in several steps, an answer by a
 * schema.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/ai-sdk/main.ts
 */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
if (!SLUICE_API_KEY) {
  process.stderr.write('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.\n')
  process.exit(1)
}
const sluice = createOpenAICompatible({
  name: 'sluice',
  baseURL: `${SLUICE_URL}/v1`,
  apiKey: SLUICE_API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
})
// Sluice tries again by itself: each try of the AI SDK's would be another job
const asked = { model: sluice(SLUICE_MODEL), maxRetries: 0 }

try {
  const stream = streamText({
    ...asked,
    prompt: 'Tell me of rivers.',
    onError({ error }) {
      throw error
    },
  })
  process.stdout.write('Stream: ')
  for await (const text of stream.textStream) process.stdout.write(text)
  const { outputTokens } = await stream.usage
  process.stdout.write(`\n${outputTokens} tokens\n`)

  const weather = tool({
    description: 'The weather of a city',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  })
  const { text, steps } = await generateText({
    ...asked,
    prompt: 'What is the weather?',
    tools: { weather },
    stopWhen: stepCountIs(3),
  })
  process.stdout.write(`\nTool, in ${steps.length} steps: ${text}\n`)

  const schema = z.object({ name: z.string(), age: z.number().int() })
  const { output } = await generateText({
    ...asked,
    prompt: 'Anna is 31 years old.',
    output: Output.object({ schema }),
  })
  process.stdout.write(`\nStructured: ${JSON.stringify(output)}\n`)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
