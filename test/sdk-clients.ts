/**
 * The two libraries that most clients use, unmodified, and what they read of an answer in one form: the `openai` SDK,
 * and the AI SDK with its provider for servers that speak OpenAI's API.
 */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, jsonSchema, Output, streamText, tool } from 'ai'
import OpenAI, { APIError } from 'openai'
import { expect } from 'vitest'

export interface Told {
  readonly text: string
  readonly reasoning: string
  readonly calls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly input: unknown }>
  readonly reason: string
  /** Tokens in, of these from a cache; tokens out, of these for thought. */
  readonly usage: readonly unknown[]
}
export interface Failure {
  readonly status: number | undefined
  readonly message: string
}
export interface Asking {
  readonly model?: string
  readonly key?: string
  /** Their names. */
  readonly tools?: readonly string[]
  readonly schema?: object
}
export interface ServerAt {
  readonly url: string
  readonly key: string
  readonly model: string
}
export interface Library {
  ask(stream: boolean, asking?: Asking): Promise<Told>
  failure(stream: boolean, asking?: Asking): Promise<Failure>
}

const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } as const
export const WEATHER = { description: 'The weather of a city', inputSchema: jsonSchema<{ city: string }>(PARAMETERS) }

export const aiSdk = (server: () => ServerAt): Library => ({
  async ask(stream, { model = server().model, key = server().key, tools, schema } = {}) {
    const sluice = createOpenAICompatible({
      ...{ name: 'sluice', baseURL: server().url, apiKey: key },
      ...{ includeUsage: true, supportsStructuredOutputs: true },
    })
    const options = {
      model: sluice(model),
      prompt: 'Hello',
      maxRetries: 0,
      ...(tools && { tools: Object.fromEntries(tools.map((name) => [name, tool(WEATHER)])) }),
      ...(schema !== undefined && { output: Output.object({ schema: jsonSchema(schema), name: 'person' }) }),
    }
    const failures: unknown[] = []
    const onError = ({ error }: { error: unknown }): void => void failures.push(error)
    const result = stream ? streamText({ ...options, onError }) : await generateText(options)
    try {
      const { inputTokens, inputTokenDetails, outputTokens, outputTokenDetails } = await result.usage
      await result.text
      if (failures.length > 0) throw failures[0]
      return {
        text: schema === undefined ? await result.text : JSON.stringify(await result.output),
        reasoning: (await result.reasoningText) ?? '',
        calls: (await result.toolCalls).map(({ toolCallId: id, toolName: name, input }) => ({ id, name, input })),
        reason: (await result.finishReason).replaceAll('-', '_'),
        usage: [inputTokens, inputTokenDetails.cacheReadTokens, outputTokens, outputTokenDetails.reasoningTokens],
      }
    } catch (thrown) {
      throw failures[0] ?? thrown
    }
  },
  async failure(stream, asking) {
    const error = await this.ask(stream, asking).then(expectFailure, (thrown: unknown) => thrown)
    if (APICallError.isInstance(error)) return { status: error.statusCode, message: error.message }
    return { status: undefined, message: String((error as { message?: unknown }).message) }
  },
})

export const openAi = (server: () => ServerAt): Library => ({
  async ask(stream, { model = server().model, key = server().key, tools, schema } = {}) {
    const openai = new OpenAI({ baseURL: server().url, apiKey: key, maxRetries: 0 })
    const request = {
      model,
      messages: [{ role: 'user' as const, content: 'Hello' }],
      ...(tools && {
        tools: tools.map((name) => ({
          type: 'function' as const,
          function: { name, description: WEATHER.description, parameters: PARAMETERS },
        })),
      }),
      ...(schema !== undefined && {
        response_format: {
          type: 'json_schema' as const,
          json_schema: { name: 'person', schema: schema as Record<string, unknown>, strict: true },
        },
      }),
    }
    let reasoning = ''
    let completion: OpenAI.ChatCompletion
    if (stream) {
      const run = openai.chat.completions.stream({ ...request, stream_options: { include_usage: true } })
      run.on('chunk', ({ choices }) => {
        reasoning += (choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? ''
      })
      completion = (await run.finalChatCompletion()) as OpenAI.ChatCompletion
    } else {
      completion = await openai.chat.completions.create(request)
      reasoning = (completion.choices[0].message as { reasoning_content?: string }).reasoning_content ?? ''
    }
    const { message, finish_reason: reason } = completion.choices[0]
    const { usage } = completion
    return {
      text: message.content ?? '',
      reasoning,
      calls: (message.tool_calls ?? []).map((call) => {
        if (call.type !== 'function') throw new Error('the call of no function')
        return { id: call.id, name: call.function.name, input: JSON.parse(call.function.arguments) }
      }),
      reason,
      usage: [
        usage?.prompt_tokens,
        usage?.prompt_tokens_details?.cached_tokens,
        usage?.completion_tokens,
        usage?.completion_tokens_details?.reasoning_tokens,
      ],
    }
  },
  async failure(stream, asking) {
    const error = await this.ask(stream, asking).then(expectFailure, (thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(APIError)
    const { status, message } = error as APIError
    return { status, message }
  },
})

const expectFailure = (answer: unknown): never => expect.fail(`an answer: ${JSON.stringify(answer)}`)
