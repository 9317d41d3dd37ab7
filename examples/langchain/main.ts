/**
 * LangChain over Sluice, with nothing changed but the base URL: an answer, a stream, a tool, an answer by a schema.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/langchain/main.ts
 */
import { tool } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
if (!SLUICE_API_KEY) {
  process.stderr.write('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.\n')
  process.exit(1)
}
const model = new ChatOpenAI({
  model: SLUICE_MODEL,
  apiKey: SLUICE_API_KEY,
  configuration: { baseURL: `${SLUICE_URL}/v1` },
  // Sluice tries again by itself, and says of each error whether it is worth another try
  maxRetries: 0,
})

try {
  const { text } = await model.invoke('What is Sluice?')
  process.stdout.write(`Answer: ${text}\n\nStream: `)

  for await (const chunk of await model.stream('Tell me of rivers.')) process.stdout.write(chunk.text)

  const weather = tool(({ city }) => `It is sunny in ${city}.`, {
    name: 'weather',
    description: 'The weather of a city',
    schema: z.object({ city: z.string() }),
  })
  const called = await model.bindTools([weather]).invoke('What is the weather?')
  for (const call of called.tool_calls ?? []) {
    const { content } = await weather.invoke({ ...call, type: 'tool_call' })
    process.stdout.write(`\n\nTool: ${call.name} ${JSON.stringify(call.args)}: ${content}\n`)
  }

  const Person = z.object({ name: z.string(), age: z.number().int() })
  const person = await model
    .withStructuredOutput(Person, { name: 'person', method: 'jsonSchema' })
    .invoke('Anna is 31 years old.')
  process.stdout.write(`\nStructured: ${JSON.stringify(Person.parse(person))}\n`)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
