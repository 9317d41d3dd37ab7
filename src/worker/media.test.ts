import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Job } from '../core/job.ts'
import { type MediaRef, mediaRecord } from '../core/media.ts'
import type { Files } from '../core/ports/files.ts'
import { MediaOut, uploadsOf, withFiles } from './media.ts'
import { shownBy } from './plan.ts'
import { type MemoryFiles, memoryFiles } from './testing/memory-files.ts'

const job = { id: 'job_1', tenant: 't', kind: 'speech' } as Job
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((next) => setImmediate(next))
}

function out(files: Files, clock: Clock = systemClock) {
  const grown: MediaRef[] = []
  const told: string[] = []
  const thrown: unknown[] = []
  const media = new MediaOut({ files, clock, expiresAtMs: (_job, endsNow) => (endsNow ? 7 : 90) }, job, {
    pause: () => void told.push('pause'),
    resume: () => void told.push('resume'),
    grew: (ref) => void grown.push(ref),
    told() {},
    threw: (error) => void thrown.push(error),
  })
  return { media, grown, told, thrown }
}

it('writes what comes, in order, each part into a file of its own, and seals them', async () => {
  const files = memoryFiles()
  const { media } = out(files)
  media.part('image/png')
  media.bytes(Buffer.from('ab'))
  media.bytes(Buffer.from('c'))
  media.part('image/webp')
  media.bytes(Buffer.alloc(3 << 20, 1))
  const refs = await media.finish()
  expect(refs.map(({ type, bytes }) => [type, bytes])).toEqual([
    ['image/png', 3],
    ['image/webp', 3 << 20],
  ])
  expect(files.bytes(refs[0].file).toString()).toBe('abc')
  expect([...files.all.values()].map((file) => [file.name, file.sealed, file.purpose, file.expiresAtMs])).toEqual([
    ['job_1.png', true, 'media', 7],
    ['job_1-1.webp', true, 'media', 7],
  ])
})

it('shows the first bytes at once, and gathers small ones for 100 ms: a write and a record for each', async () => {
  const clock = manualClock()
  const files = memoryFiles()
  const { media, grown } = out(files, clock)
  media.part('audio/wav')
  media.bytes(Buffer.alloc(10))
  await turns()
  expect(grown.map(({ bytes }) => bytes)).toEqual([10])
  for (let i = 0; i < 50; i++) media.bytes(Buffer.alloc(10))
  await turns()
  expect(grown).toHaveLength(1)
  clock.advance(100)
  await turns()
  expect(grown.map(({ bytes }) => bytes)).toEqual([10, 510])
  media.bytes(Buffer.alloc(64 << 10))
  await turns()
  expect(grown).toHaveLength(3)
  media.bytes(Buffer.alloc(1))
  await media.finish()
  expect(grown.at(-1)!.bytes).toBe(511 + (64 << 10))
})

it('leaves the upstream unread while a mebibyte waits', async () => {
  const files = memoryFiles()
  const go = Promise.withResolvers<void>()
  const slow = {
    ...files,
    async append(...all: Parameters<MemoryFiles['append']>) {
      await go.promise
      return files.append(...all)
    },
  }
  const { media, told } = out(slow)
  media.part('audio/wav')
  for (let i = 0; i < 20; i++) media.bytes(Buffer.alloc(64 << 10))
  await turns()
  expect(told).toEqual(['pause'])
  go.resolve()
  await turns()
  expect(told).toEqual(['pause', 'resume'])
})

it('a write that fails is told once, and fails the finish; another writer is no success', async () => {
  const files = memoryFiles()
  const { media, thrown } = out({ ...files, append: async () => null })
  media.part('audio/wav')
  media.bytes(Buffer.alloc(10))
  await turns()
  media.bytes(Buffer.alloc(10))
  await expect(media.finish()).rejects.toMatchObject({ code: 'internal' })
  expect(thrown).toHaveLength(1)
})

it('what is dropped leaves no file, whatever is being written', async () => {
  const files = memoryFiles()
  const { media } = out(files)
  media.part('audio/wav')
  media.bytes(Buffer.alloc(10))
  media.bytes(Buffer.alloc(2 << 20))
  await media.drop()
  expect(files.all.size).toBe(0)
})

it('a sound is its own tenant’s and user’s, and sealed', async () => {
  const files = memoryFiles()
  const made = (tenant: string, user: string | null) =>
    files.create({ tenant, user, purpose: 'media', name: 'a', type: 'audio/wav', expiresAtMs: null })
  const [own, foreign, users, open] = [
    await made('t', null),
    await made('u', null),
    await made('t', 'ann'),
    await made('t', null),
  ]
  for (const { id } of [own, foreign, users]) await files.seal(id)
  const ask = async (id: unknown, session?: string) => {
    const by = { ...job, kind: 'transcription', ...(session !== undefined && { session }) } as Job
    return (await uploadsOf(files, by, Buffer.from(JSON.stringify({ file: id }))))[0]
  }
  expect(await ask(own.id)).toMatchObject({ name: 'a', type: 'audio/wav', bytes: 0 })
  expect(await ask(users.id, 'user\nann')).toMatchObject({ name: 'a' })
  for (const [id, session] of [
    [foreign.id],
    [own.id, 'user\nann'],
    [users.id, 'user\nbob'],
    [users.id, 'session\nann'],
    [open.id],
    ['file-0'],
  ] as const)
    await expect(ask(id, session as string | undefined)).rejects.toMatchObject({ code: 'file_not_found' })
})

it('a document refers to files that were made for it, and to no others', () => {
  const ref = { file: 'file-1', type: 'image/png', bytes: 3 }
  expect(withFiles('{"data":[{"b64_json":{"part":0}},{"url":"x"}]}', [ref])).toBe(
    JSON.stringify({ data: [{ b64_json: ref }, { url: 'x' }] }),
  )
  for (const image of ['{"part":1}', '{"file":"file-2","type":"image/png","bytes":3}', 'null', '7'])
    expect(() => withFiles(`{"data":[{"b64_json":${image}}]}`, [ref])).toThrow()
})

it('bytes of a sound are shown: they can be neither continued nor begun unseen', () => {
  const records = ['@attempt {"n":1}', mediaRecord({ file: 'file-1', type: 'audio/wav', bytes: 1 })]
  expect(shownBy(records)).toEqual({ text: true, onlyThought: false, identity: null, prefix: null })
})
