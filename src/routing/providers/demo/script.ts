/**
 * What a request asks of the demo, besides an answer. In the last user message, a part that begins with "demo:",
 * to the end of its line:
 *
 *     Tell me of rivers. demo: tokens=200 delay=5 ttft=50
 *
 *   tokens=N     exactly N tokens            delay=MS   between tokens           ttft=MS   to the first
 *   fail=STATUS  answers with that HTTP status, as a provider would (429, 500, 401 …); retry_after=S with it
 *   cut=N        breaks off after N tokens   stall=N    falls silent after N     garbage=N sends nonsense after N
 *   faults=N     only the job's first N attempts go wrong
 *   echo=1       answers with the roles and texts of the messages it got, as JSON
 *
 * The same by the model's name: "demo-n200-d5-f50", n tokens, d delay, f ttft, e fail, k cut, s stall, g garbage.
 */
export interface Script {
  readonly tokens: number | null
  readonly delayMs: number
  readonly ttftMs: number
  readonly failStatus: number | null
  readonly retryAfterMs: number | null
  readonly cutAfter: number
  readonly stallAfter: number
  readonly garbageAfter: number
  readonly echo: boolean
}

const LETTERS: Readonly<Record<string, string>> = {
  n: 'tokens',
  d: 'delay',
  f: 'ttft',
  e: 'fail',
  k: 'cut',
  s: 'stall',
  g: 'garbage',
}
const DIRECTIVE = /\bdemo:((?:[ \t]*[a-z_]+=\d+(?:\.\d+)?)+)/g
const MAX_TOKENS = 1_000_000

/** A longer text is searched only at its ends, this many characters each: it may be a stranger's megabytes. */
const SEARCHED_CHARS = 32_768
export const endsOf = (text: string): string =>
  text.length <= 2 * SEARCHED_CHARS ? text : `${text.slice(0, SEARCHED_CHARS)}\n${text.slice(-SEARCHED_CHARS)}`

export const withoutDirectives = (text: string): string => text.replace(DIRECTIVE, '').trim()

export function readScript(
  model: string,
  prompt: string,
  attempt: number,
  defaults: { readonly delayMs: number; readonly ttftMs: number },
): Script {
  const said = new Map<string, number>()
  for (const [, letter, value] of model.matchAll(/-([ndfeksg])(\d{1,9})(?=-|$)/g))
    said.set(LETTERS[letter], Number(value))
  for (const [, settings] of endsOf(prompt).matchAll(DIRECTIVE))
    for (const [, key, value] of settings.matchAll(/([a-z_]+)=([\d.]+)/g)) said.set(key, Number(value))
  const faulty = attempt <= (said.get('faults') ?? Infinity)
  const fault = (key: string): number | undefined => (faulty ? said.get(key) : undefined)
  const retryAfterS = fault('retry_after')
  return {
    tokens: said.has('tokens') ? Math.min(MAX_TOKENS, said.get('tokens')!) : null,
    delayMs: said.get('delay') ?? defaults.delayMs,
    ttftMs: said.get('ttft') ?? defaults.ttftMs,
    failStatus: fault('fail') ?? null,
    retryAfterMs: retryAfterS === undefined ? null : retryAfterS * 1_000,
    cutAfter: fault('cut') ?? Infinity,
    stallAfter: fault('stall') ?? Infinity,
    garbageAfter: fault('garbage') ?? Infinity,
    echo: said.get('echo') === 1,
  }
}
