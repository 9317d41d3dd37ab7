/** What a request needs of the deployment that answers it, and which others begin as it does. */
import { hash } from 'node:crypto'
import type { Ability, JobKind, Needs } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'

/** What is looked at has a bound. */
const MAX_MESSAGES = 1_000
const MAX_PARTS = 32
const MAX_CHARS = 1_024
const DIGEST_CHARS = 16

/** Undefined: any deployment of its model will do. */
export function needsOf(kind: JobKind, request: JsonRecord, tags: readonly string[]): Needs | undefined {
  const can: Ability[] = []
  if (kind === 'chat') {
    const { tools, functions, messages, response_format: format } = request
    if (isFull(tools) || isFull(functions)) can.push('tools')
    if (hasImage(messages)) can.push('vision')
    if (isRecord(format) && format['type'] === 'json_schema') can.push('json_schema')
  }
  return can.length === 0 && tags.length === 0 ? undefined : { can, tags }
}

const isFull = (value: unknown): boolean => Array.isArray(value) && value.length > 0

function hasImage(messages: unknown): boolean {
  if (!Array.isArray(messages)) return false
  for (let i = Math.max(0, messages.length - MAX_MESSAGES); i < messages.length; i++) {
    const content: unknown = isRecord(messages[i]) ? (messages[i] as JsonRecord)['content'] : null
    if (!Array.isArray(content)) continue
    for (let k = 0; k < content.length && k < MAX_PARTS; k++)
      if (isRecord(content[k]) && (content[k] as JsonRecord)['type'] === 'image_url') return true
  }
  return false
}

/**
 * Digest of the messages up to the first of a user: those of one chat begin alike, whoever keeps its history.
 * Undefined: it has none.
 */
export function beginningOf(tenant: string, request: JsonRecord): string | undefined {
  const { messages } = request
  if (!Array.isArray(messages)) return undefined
  let text = ''
  for (let i = 0; i < messages.length && text.length < MAX_CHARS; i++) {
    const message: unknown = messages[i]
    if (!isRecord(message)) break
    const { role, content } = message
    const parts: readonly unknown[] = Array.isArray(content) ? content.slice(0, MAX_PARTS) : [content]
    for (const part of parts) {
      const own = isRecord(part) ? part['text'] : part
      if (typeof own === 'string') text += `\n${own.slice(0, MAX_CHARS - text.length)}`
    }
    if (role === 'user') break
  }
  return text === '' ? undefined : hash('sha256', `${tenant}${text}`, 'base64url').slice(0, DIGEST_CHARS)
}
