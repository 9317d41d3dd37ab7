/** Blocks requests that bring, or ask for, kinds of content that a tenant may not use. */
import { z } from 'zod'
import { SluiceError } from '../../core/errors.ts'
import type { JobKind } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { defineGuard } from './guard.ts'

const INPUT = ['text', 'image', 'audio', 'video', 'file'] as const
const OUTPUT = ['text', 'image', 'audio'] as const

/** Types of parts, as OpenAI's dialect and the engines that speak it name them. */
const PARTS: ReadonlyMap<unknown, string> = new Map([
  ...['text', 'refusal', 'input_text', 'output_text', 'thinking', 'tool_result'].map((type) => [type, 'text'] as const),
  ...['image_url', 'image', 'input_image'].map((type) => [type, 'image'] as const),
  ...['input_audio', 'audio', 'audio_url'].map((type) => [type, 'audio'] as const),
  ...['video_url', 'video', 'input_video'].map((type) => [type, 'video'] as const),
  ...['file', 'input_file', 'document', 'document_url', 'file_url'].map((type) => [type, 'file'] as const),
])

/** What a job of this kind makes, where it is no text. */
const MADE: ReadonlyMap<JobKind, string> = new Map([
  ['image', 'image'],
  ['speech', 'audio'],
])

export const allowModalities = defineGuard(
  'allow-modalities',
  'Blocks requests with kinds of content that are not listed; a kind that it does not know is never allowed.',
  {
    input: z
      .array(z.enum(INPUT))
      .min(1)
      .prefault(['text'])
      .describe('What messages may contain; `audio`: sounds may be transcribed, too; `image`: images may be edited.'),
    output: z
      .array(z.enum(OUTPUT))
      .min(1)
      .prefault(['text'])
      .describe('What `modalities` may ask for; `image` and `audio`: images and speech may be made, too.'),
  },
  ({ input, output }) => {
    const [mayBring, mayAsk] = [new Set<string>(input), new Set<string>(output)]
    return ({ kind, request }) => {
      if (kind === 'transcription' && !mayBring.has('audio')) return refusal('file', 'send audio')
      const made = MADE.get(kind)
      if (made !== undefined && !mayAsk.has(made)) return refusal('model', `ask for ${made}`)
      if (request === undefined) return null
      const { messages, modalities, image, mask } = request()
      if (kind === 'image' && (isGiven(image) || isGiven(mask)) && !mayBring.has('image'))
        return refusal('image', 'send images')
      for (const [i, message] of (Array.isArray(messages) ? messages : []).entries()) {
        const refused = isRecord(message) ? kindsOf(message).find((kind) => !mayBring.has(kind)) : undefined
        if (refused !== undefined) return refusal(`messages[${i}].content`, `send ${refused}`)
      }
      const asked: readonly unknown[] = Array.isArray(modalities) ? modalities : isGiven(modalities) ? [modalities] : []
      const wanted = asked.find((kind) => !mayAsk.has(String(kind)))
      return wanted === undefined ? null : refusal('modalities', 'ask for that kind of content')
    }
  },
)

const refusal = (param: string, what: string): SluiceError =>
  new SluiceError('modality_not_allowed', { param, message: `This tenant may not ${what} (guard allow-modalities).` })

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

/** Of a message, or of a part that has parts of its own, as a tool's result. */
function kindsOf({ content, audio, images }: JsonRecord, kinds: string[] = []): readonly string[] {
  if (Array.isArray(content))
    for (const part of content) {
      kinds.push(isRecord(part) ? kindOf(part) : 'text')
      if (isRecord(part)) kindsOf(part, kinds)
    }
  if (isGiven(audio)) kinds.push('audio')
  if (isGiven(images)) kinds.push('image')
  return kinds
}

/** Engines tell what a part without a type is by its members. */
function kindOf(part: JsonRecord): string {
  const { type = null } = part
  const isText = type === null && Object.keys(part).every((name) => name === 'text' || name === 'type')
  return (isText ? 'text' : PARTS.get(type)) ?? 'content of an unknown kind'
}
