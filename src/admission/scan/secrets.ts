/**
 * Keys and tokens whose form gives them away, by the names of gitleaks (https://github.com/gitleaks/gitleaks,
 * config/gitleaks.toml). Only what has a beginning of its own: a password looks like any other word.
 */
import type { Swallow } from './finder.ts'
import { chars, has, NONE, OPEN, type Rule, type Run, run, sequence } from './sequence.ts'

const ALNUM = 'A-Za-z0-9'
const URL_SAFE = 'A-Za-z0-9_-'
const HEX = '0-9a-f'
const MAX_TOKEN = 100_000

const one = (name: string, ...parts: ReadonlyArray<string | Run>): Rule => sequence(name, parts)
/** The same after each of these beginnings. */
const each = (name: string, begins: readonly string[], ...parts: ReadonlyArray<string | Run>): readonly Rule[] =>
  begins.map((begin) => sequence(name, [begin, ...parts]))

// ---------------------------------------------------------------- private keys

const BEGIN = '-----BEGIN '
const END = '-----END '
const DASHES = '-----'
/** Between the dashes: "RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK". */
const LABEL = /^[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----/
const MAX_LABEL = 48
const KEY_TEXT = chars('A-Za-z0-9+/=')
/**
 * Line breaks, and what stands before a line: blanks, its number, the marks of quotes, comments, diffs and strings. As
 * they are or as JSON spells them, within JSON within a text too.
 */
const BREAK = /^(?:[\s>#*|"',;:+→-]|\\{1,8}[rnt"]|\d{1,6}(?=[\s:|→\\-]))*/
/** With all that is before it, and enough of the key's text, it can be held back. */
const MAX_BREAK = 56
/** The beginning of another one. */
const BREAK_BEGUN = /^\\{1,8}$/
/** What may stand before the key's text. */
const HEADERS = ['Proc-Type', 'Version', 'Comment']
/** Of the key's text: less of it is talk about keys. */
const SURE = 12
/** Without its end a key is taken to be so long. */
const MAX_KEY = 16_384
/** Of its last line. */
const MAX_LAST = END.length + MAX_LABEL + DASHES.length

const endIn = (text: string, from: number): number => {
  const at = text.indexOf(END, from)
  const dashes = at < 0 ? -1 : text.indexOf(DASHES, at + END.length)
  return dashes < 0 || dashes - at > MAX_LABEL + END.length ? NONE : dashes + DASHES.length
}

const privateKey: Rule = {
  name: 'private-key',
  first: chars('-'),
  walk(text, at, isOpen) {
    const left = text.length - at
    if (left < BEGIN.length) return isOpen && BEGIN.startsWith(text.slice(at)) ? OPEN : NONE
    if (!text.startsWith(BEGIN, at)) return NONE
    const head = text.slice(at + BEGIN.length, at + BEGIN.length + MAX_LABEL)
    const label = LABEL.exec(head)
    if (label === null) return isOpen && head.length < MAX_LABEL && /^[A-Z0-9 ]*-{0,5}$/.test(head) ? OPEN : NONE
    const labelEnd = at + BEGIN.length + label[0].length
    const [lines] = BREAK.exec(text.slice(labelEnd, labelEnd + MAX_BREAK))!
    const from = labelEnd + lines.length
    if (isOpen && BREAK_BEGUN.test(text.slice(from, from + 9))) return OPEN
    let sure = from
    while (sure < text.length && sure - from < SURE && has(KEY_TEXT, text.charCodeAt(sure))) sure++
    if (sure - from < SURE && !HEADERS.some((header) => text.startsWith(header, from))) {
      const isCut = sure === text.length || HEADERS.some((header) => header.startsWith(text.slice(from, from + SURE)))
      return isOpen && isCut ? OPEN : NONE
    }
    const end = endIn(text.slice(0, at + MAX_KEY), from)
    if (end !== NONE) return end
    return isOpen ? OPEN : Math.min(text.length, at + MAX_KEY)
  },
  goesOn: untilEnd,
}

function untilEnd(begun: string): Swallow {
  let [seen, total] = [begun.slice(-MAX_LAST), begun.length]
  return (text) => {
    const before = seen.length
    seen += text
    const end = endIn(seen, 0)
    if (end !== NONE) return Math.max(0, end - before)
    total += text.length
    if (total > MAX_KEY) return 0
    seen = seen.slice(-MAX_LAST)
    return text.length
  }
}

// ---------------------------------------------------------------- tokens

/** Three parts of base64 (RFC 7519); the first two are JSON objects, which begin with `{"`. */
const PART = run(URL_SAFE, 10, MAX_TOKEN)
const jwt = sequence('jwt', ['eyJ', PART, '.eyJ', PART, '.', run(URL_SAFE, 0, MAX_TOKEN)], { notAfter: URL_SAFE })

export const SECRETS: readonly Rule[] = [
  privateKey,
  jwt,
  ...each('aws-access-token', ['AKIA', 'ASIA', 'ABIA', 'ACCA'], run('A-Z2-7', 16)),
  one('gcp-api-key', 'AIza', run(URL_SAFE, 35)),
  one('openai-api-key', 'sk-', run(ALNUM, 20), 'T3BlbkFJ', run(ALNUM, 20)),
  ...each('openai-api-key', ['sk-proj-', 'sk-svcacct-', 'sk-admin-'], run(URL_SAFE, 20, 256)),
  ...each('anthropic-api-key', ['sk-ant-api03-', 'sk-ant-admin01-'], run(URL_SAFE, 80, 128)),
  one('sluice-api-key', 'sk-sluice-', run(URL_SAFE, 20, 128)),
  ...each('github-pat', ['ghp_'], run(ALNUM, 36)),
  one('github-fine-grained-pat', 'github_pat_', run('A-Za-z0-9_', 82)),
  ...each('github-oauth', ['gho_'], run(ALNUM, 36)),
  ...each('github-app-token', ['ghu_', 'ghs_'], run(ALNUM, 36)),
  ...each('github-refresh-token', ['ghr_'], run(ALNUM, 36)),
  one('gitlab-pat', 'glpat-', run(URL_SAFE, 20, 64)),
  ...each('slack-token', ['xoxb-', 'xoxp-', 'xoxa-', 'xoxr-', 'xoxs-', 'xoxe-', 'xapp-'], run('A-Za-z0-9-', 20, 200)),
  one('slack-webhook-url', 'https://hooks.slack.com/', run('A-Za-z0-9/_-', 40, 120)),
  ...each('stripe-access-token', stripe(), run(ALNUM, 10, 99)),
  one('npm-access-token', 'npm_', run(ALNUM, 36)),
  one('pypi-upload-token', 'pypi-AgEIcHlwaS5vcmc', run(URL_SAFE, 50, 1_000)),
  one('huggingface-access-token', 'hf_', run('A-Za-z', 34)),
  one('sendgrid-api-token', 'SG.', run(URL_SAFE, 22), '.', run(URL_SAFE, 43)),
  one('twilio-api-key', 'SK', run(HEX, 32)),
  ...each('digitalocean-token', ['dop_v1_', 'doo_v1_', 'dor_v1_'], run(HEX, 64)),
  ...each('shopify-token', ['shpat_', 'shpca_', 'shppa_', 'shpss_'], run('A-Fa-f0-9', 32)),
  one('databricks-api-token', 'dapi', run(HEX, 32)),
  one('telegram-bot-api-token', run('0-9', 5, 16), ':A', run(URL_SAFE, 34)),
]

function stripe(): readonly string[] {
  return ['sk', 'rk'].flatMap((kind) => ['test', 'live', 'prod'].map((mode) => `${kind}_${mode}_`))
}
