/** An unmodified OpenAI SDK makes images and sounds, and has sounds transcribed: of the built-in model. */
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { JOB_KINDS } from '../../src/core/job.ts'
import { paint, sing } from '../../src/routing/providers/demo/media.ts'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
let openai: OpenAI

beforeAll(async () => {
  app = await startTestApp({}, { models: [{ name: 'demo', provider: 'demo', kinds: [...JOB_KINDS] }] })
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: app.key, maxRetries: 0 })
})
afterAll(() => app?.stop())

it('images.generate', async () => {
  const answer = await openai.images.generate({ model: 'demo', prompt: 'a lake', n: 2 })
  expect(answer.data!.map(({ b64_json: data }) => Buffer.from(data!, 'base64').equals(paint('a lake', 0)))).toEqual([
    true,
    false,
  ])
  expect(Buffer.from(answer.data![1].b64_json!, 'base64')).toEqual(paint('a lake', 1))
})
it('images.edit and images.createVariation', async () => {
  const [a, b] = await Promise.all(
    ['a.png', 'b.png'].map((name) => toFile(paint(name, 0), name, { type: 'image/png' })),
  )
  const sizes = [paint('a.png', 0).length, paint('b.png', 0).length]
  const edited = await openai.images.edit({ model: 'demo', prompt: 'a lake', image: [a, b], n: 2 })
  expect(Buffer.from(edited.data![1].b64_json!, 'base64')).toEqual(paint(['a lake', ...sizes].join('\n'), 1))
  const varied = await openai.images.createVariation({ model: 'demo', image: a })
  expect(Buffer.from(varied.data![0].b64_json!, 'base64')).toEqual(paint(['', sizes[0]].join('\n'), 0))
})
it('audio.speech.create: the same bytes', async () => {
  const answer = await openai.audio.speech.create({ model: 'demo', voice: 'alloy', input: 'one two three' })
  expect(Buffer.from(await answer.arrayBuffer())).toEqual(Buffer.concat(sing('one two three')))
})
it('transcriptions', async () => {
  const file = await toFile(Buffer.alloc(100_000, 7), 'a.wav', { type: 'audio/wav' })
  const answer = await openai.audio.transcriptions.create({ model: 'demo', file })
  expect(answer.text).toBe('A sound of 100000 bytes, called a.wav.')
})
