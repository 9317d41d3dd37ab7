import { readFileSync } from 'node:fs'
import { Vocabulary } from '../vocabulary.ts'

export const vocabularyFile = (): Buffer => readFileSync(new URL('../o200k.bin', import.meta.url))

export const vocabulary = new Vocabulary(vocabularyFile())

/** All of its tokens, counted without a limit. */
export function tokensIn(text: string): number {
  const tally = { tokens: 0, chars: 0, lookups: 0 }
  vocabulary.count(text, tally)
  return tally.tokens
}
