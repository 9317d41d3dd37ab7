/** The body as the upstream gets it: what the client sent, byte for byte, but for the members that are ours to set. */
import { SluiceError } from '../../../core/errors.ts'
import { editObject, scanObject } from '../../../core/json.ts'

/** How an upstream prolongs a given beginning: a last message with `prefix: true` (DeepSeek), or vLLM's two flags. */
export type Continuation = 'none' | 'prefix' | 'vllm'

const NO_LIMITS = { maxDepth: Number.MAX_SAFE_INTEGER, maxKeys: Number.MAX_SAFE_INTEGER }

/** JSON text of a top-level member; undefined when it is not there. The last one counts. */
function memberText(body: Uint8Array, key: string): string | undefined {
  const member = scanObject(body, NO_LIMITS).findLast((m) => m.key === key)
  return member === undefined
    ? undefined
    : Buffer.from(body.buffer, body.byteOffset + member.valueStart, member.valueEnd - member.valueStart).toString(
        'utf8',
      )
}

export interface ChatEdits {
  /** Null: what the client asked for. */
  readonly upstreamModel: string | null
  readonly includeUsage: boolean
  readonly continuation: Continuation
  readonly prefix: string | undefined
}

export function chatBody(body: Uint8Array, edits: ChatEdits): Uint8Array {
  const set: Record<string, string> = { stream: 'true' }
  if (edits.upstreamModel !== null) set['model'] = JSON.stringify(edits.upstreamModel)
  if (edits.includeUsage) {
    const asked = memberText(body, 'stream_options')
    set['stream_options'] = asked?.startsWith('{')
      ? Buffer.from(editObject(Buffer.from(asked), { include_usage: 'true' })).toString('utf8')
      : '{"include_usage":true}'
  }
  if (edits.prefix !== undefined && edits.continuation !== 'none') {
    set['messages'] = withPrefix(memberText(body, 'messages'), edits.prefix, edits.continuation)
    if (edits.continuation === 'vllm') {
      set['continue_final_message'] = 'true'
      set['add_generation_prompt'] = 'false'
    }
  }
  return editObject(body, set)
}

function withPrefix(messages: string | undefined, prefix: string, continuation: Continuation): string {
  const end = messages?.lastIndexOf(']') ?? -1
  if (messages === undefined || end < 0)
    throw new SluiceError('invalid_request', { message: 'The request has no messages.', param: 'messages' })
  const before = messages.slice(0, end).trimEnd()
  const message = { role: 'assistant', content: prefix, ...(continuation === 'prefix' ? { prefix: true } : {}) }
  return `${before}${before === '[' ? '' : ','}${JSON.stringify(message)}]`
}

export const embeddingBody = (body: Uint8Array, upstreamModel: string | null): Uint8Array =>
  upstreamModel === null ? body : editObject(body, { model: JSON.stringify(upstreamModel) })
