/** Data that is part of the sources (`npm run data` makes it), read once in a process. */

import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Vocabulary } from '../admission/estimate/vocabulary.ts'
import { Book, type BookData } from '../pricing/book.ts'

let vocabularyRead: Promise<Vocabulary> | undefined
let bookRead: Book | undefined

/** 5 MB, and 20 ms of CPU. */
export const vocabulary = (): Promise<Vocabulary> => (vocabularyRead ??= readVocabulary())

async function readVocabulary(): Promise<Vocabulary> {
  const read = new Vocabulary(await readFile(new URL('../admission/estimate/o200k.bin', import.meta.url)))
  // The first count compiles the pattern of words, the second makes it machine code: no request should wait for that
  for (let i = 0; i < 2; i++)
    read.count("The first words, and 1 number: it's 42.\n", { tokens: 0, chars: 0, lookups: 0 })
  return read
}

/** 300 KB of JSON: only when somebody asks for a price. */
export const book = (): Book => (bookRead ??= readBook())

const readBook = (): Book =>
  new Book(JSON.parse(readFileSync(new URL('../pricing/prices.json', import.meta.url), 'utf8')) as BookData)
