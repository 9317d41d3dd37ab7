/**
 * Kinds of requests, by which the lengths of their answers are learned: the same instructions, with tools or without,
 * in JSON or not; images by their number, size and quality. Whichever model is asked.
 */
import { hash } from 'node:crypto'
import type { JobKind } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'

/** Enough to tell instructions apart; what is looked at has a bound. */
const MAX_CHARS = 2_048
const MAX_MESSAGES = 8
const MAX_PARTS = 8
const DIGEST_CHARS = 10

/** Undefined: nothing tells it from any other. */
export function routeOf(kind: JobKind, request: JsonRecord): string | undefined {
  if (kind === 'image') return imagesOf(request)
  if (kind !== 'chat') return undefined
  const { tools, functions, response_format: format } = request
  const hasTools = isFull(tools) || isFull(functions)
  const form = isRecord(format) && typeof format['type'] === 'string' ? format['type'].slice(0, 32) : 'text'
  const instructions = instructionsOf(request['messages'])
  if (!hasTools && form === 'text' && instructions === '') return undefined
  return hash('sha256', `${hasTools} ${form}\n${instructions}`, 'base64url').slice(0, DIGEST_CHARS)
}

/** What their tokens depend on. */
function imagesOf(request: JsonRecord): string {
  const facts = ['n', 'size', 'quality', 'partial_images'].map((name) => String(request[name] ?? '').slice(0, 32))
  return hash('sha256', `image ${facts.join(' ')}`, 'base64url').slice(0, DIGEST_CHARS)
}

const isFull = (value: unknown): boolean => Array.isArray(value) && value.length > 0

/** The messages before the first of somebody else. */
function instructionsOf(messages: unknown): string {
  let text = ''
  if (!Array.isArray(messages)) return text
  for (const message of messages.slice(0, MAX_MESSAGES) as readonly unknown[]) {
    if (!isRecord(message) || (message['role'] !== 'system' && message['role'] !== 'developer')) break
    const { content } = message
    const parts: readonly unknown[] = Array.isArray(content) ? content.slice(0, MAX_PARTS) : [content]
    for (const part of parts) {
      const own = isRecord(part) ? part['text'] : part
      if (typeof own === 'string') text += own.slice(0, MAX_CHARS - text.length)
    }
    if (text.length >= MAX_CHARS) break
    text += '\n'
  }
  return text === '\n' ? '' : text
}
