/** A line of the log for people: "12:30:05 warn  attempt failed  model=chat code=provider_error". */

const COLOURS: Readonly<Record<string, string>> = { debug: '2', info: '32', warn: '33', error: '31', fatal: '31' }
const SILENT: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'err'])

/** `line`: JSON as the log writes it. */
export function pretty(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown>
  const { level, time, msg, err } = entry as { level: string; time: string; msg?: string; err?: { stack?: string } }
  const facts = Object.entries(entry)
    .filter(([name, value]) => !SILENT.has(name) && value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`)
  const stack = err?.stack === undefined ? '' : `\n${err.stack.replaceAll(/^/gm, '    ')}`
  const label = `\x1b[${COLOURS[level] ?? '0'}m${level.padEnd(5)}\x1b[0m`
  const text = [
    new Date(time).toTimeString().slice(0, 8),
    label,
    withoutControls(msg ?? ''),
    ...(facts.length === 0 ? [] : [`\x1b[2m${withoutControls(facts.join(' '))}\x1b[0m`]),
  ]
  return `${text.filter((part) => part !== '').join(' ')}${withoutControls(stack)}\n`
}

const quoted = (text: string): string => (/^[\w.:/@*+-]+$/.test(text) ? text : JSON.stringify(text))
/** What an upstream, a client, a server or a file says must not steer the terminal. */
export const withoutControls = (text: string): string => text.replaceAll(/[^\P{Cc}\n\t]/gu, '')
