/** Secrets and personal data as they look, made up; each with the rule that finds it. */
const DIGITS = '0123456789'
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const LOWER = UPPER.toLowerCase()
const ALNUM = UPPER + LOWER + DIGITS
const URL_SAFE = `${ALNUM}_-`
const HEX = '0123456789abcdef'

/** A generator of numbers below 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function samples(random: () => number) {
  const some = (n: number, of: string): string =>
    Array.from({ length: n }, () => of[Math.floor(random() * of.length)]).join('')
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const secrets: ReadonlyArray<readonly [rule: string, make: () => string]> = [
    ['aws-access-token', () => `AKIA${some(16, `${UPPER}234567`)}`],
    ['gcp-api-key', () => `AIza${some(35, ALNUM)}`],
    ['openai-api-key', () => `sk-${some(20, ALNUM)}T3BlbkFJ${some(20, ALNUM)}`],
    ['openai-api-key', () => `sk-proj-${some(120, URL_SAFE)}a`],
    ['anthropic-api-key', () => `sk-ant-api03-${some(93, URL_SAFE)}AA`],
    ['github-pat', () => `ghp_${some(36, ALNUM)}`],
    ['github-fine-grained-pat', () => `github_pat_${some(82, ALNUM)}`],
    ['gitlab-pat', () => `glpat-${some(20, ALNUM)}`],
    ['slack-token', () => `xoxb-${some(12, DIGITS)}-${some(12, DIGITS)}-${some(24, ALNUM)}`],
    ['stripe-access-token', () => `sk_live_${some(24, ALNUM)}`],
    ['npm-access-token', () => `npm_${some(36, ALNUM)}`],
    ['huggingface-access-token', () => `hf_${some(34, LOWER)}`],
    ['sendgrid-api-token', () => `SG.${some(22, ALNUM)}.${some(43, ALNUM)}`],
    ['databricks-api-token', () => `dapi${some(32, HEX)}`],
    ['telegram-bot-api-token', () => `${some(9, DIGITS)}:AA${some(33, ALNUM)}`],
    ['jwt', () => `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ sub: some(200, ALNUM) })}.${some(86, URL_SAFE)}`],
    [
      'private-key',
      () =>
        `-----BEGIN RSA PRIVATE KEY-----\n${Array.from({ length: 8 }, () => some(64, `${ALNUM}+/`)).join('\n')}\n` +
        '-----END RSA PRIVATE KEY-----',
    ],
  ]
  const word = (): string => some(1 + Math.floor(random() * 9), LOWER)
  const prose = (words: number): string => Array.from({ length: words }, word).join(' ')
  /** Cut into pieces of 1 to `most` characters. */
  const pieces = (text: string, most = 7): readonly string[] => {
    const all: string[] = []
    for (let at = 0; at < text.length; ) {
      const n = 1 + Math.floor(random() * most)
      all.push(text.slice(at, at + n))
      at += n
    }
    return all
  }
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]
  return { secrets, some, prose, pieces, pick }
}
