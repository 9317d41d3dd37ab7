/** What a record may keep of a server's own words: names, and never text or a key that was sent to it. */

const WORD = /^[\w.:-]{1,128}$/
/** Shorter ones are in many words by chance. */
const MIN_SECRET = 8

/** `headers`: those of the requests; null: it is not kept. */
export function keeper(headers: Readonly<Record<string, string>>): (text: string | null) => string | null {
  const secrets = Object.values(headers)
    .flatMap((value) => value.split(' '))
    .filter((part) => part.length >= MIN_SECRET)
    .map((part) => part.toLowerCase())
  return (text) => {
    if (text === null || !WORD.test(text)) return null
    const lower = text.toLowerCase()
    return secrets.some((secret) => lower.includes(secret)) ? null : text
  }
}
