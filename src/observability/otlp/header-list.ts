/** Headers in one text, as OTEL_EXPORTER_OTLP_HEADERS has them: "name=value,name=value", values percent-encoded. */
const NAME = /^[A-Za-z0-9!#$%&'*+.^_|~-]+$/
const VALUE = /^[\x20-\x7e]*$/

/** Null: malformed. */
export function readHeaderList(text: string): Readonly<Record<string, string>> | null {
  const headers: Record<string, string> = {}
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue
    const at = pair.indexOf('=')
    const name = pair.slice(0, Math.max(0, at)).trim().toLowerCase()
    const value = decoded(pair.slice(at + 1).trim())
    if (!NAME.test(name) || value === null || !VALUE.test(value)) return null
    headers[name] = value
  }
  return headers
}

function decoded(value: string): string | null {
  try {
    return decodeURIComponent(value)
  } catch {
    return null
  }
}
