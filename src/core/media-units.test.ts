import { describe, expect, it } from 'vitest'
import { unitsAsked, unitsMade } from './media-units.ts'

describe('as it is asked for', () => {
  it.each<[string, Parameters<typeof unitsAsked>, object]>([
    ['one image', ['image', { prompt: 'x' }, null], { images: 1 }],
    ['several, of a form', ['image', { n: '3' }, null], { images: 3 }],
    ['characters, not UTF-16 units', ['speech', { input: 'añ👍🏽' }, null], { characters: 4 }],
    ['a sound of 64 kbit/s', ['transcription', { file: 'f' }, 80_001], { audioMs: 10_001 }],
    ['a sound that nobody has seen', ['transcription', { file: 'f' }, null], { audioMs: 300_000 }],
    ['text', ['chat', { n: 2, input: 'x' }, null], {}],
  ])('%s', (_what, asked, units) => expect(unitsAsked(...asked)).toEqual(units))
})

describe('as its answer tells it', () => {
  const asked = { audioMs: 7 }
  it.each<[string, object, object]>([
    ['seconds of its usage', { text: '', usage: { type: 'duration', seconds: 3 } }, { audioMs: 3_000 }],
    ['its duration, as a text', { text: '', duration: '2.5004' }, { audioMs: 2_501 }],
    ['tokens', { text: '', usage: { type: 'tokens', input_tokens: 3 } }, asked],
    ['nothing', { text: '' }, asked],
    ['more than its bytes can hold', { text: '', duration: 200.001 }, asked],
    ['nonsense', { text: '', duration: 'long' }, asked],
    ['less than nothing', { text: '', duration: -1 }, asked],
  ])('%s', (_what, answer, units) => expect(unitsMade('transcription', { ...answer }, asked, 100_000)).toEqual(units))
  it('images that were made, however many were asked for', () => {
    expect(unitsMade('image', { data: [{}, {}] }, { images: 3 }, 0)).toEqual({ images: 2 })
    expect(unitsMade('speech', { data: [{}] }, { characters: 3 }, 0)).toEqual({ characters: 3 })
  })
})
