/**
 * Some servers read the names of members in any case: what is "Model" to us would be another "model" to them, which
 * nothing here has judged.
 */
import { bad } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { OTHER_OUTPUT_BOUNDS, OUTPUT_BOUNDS } from '../../core/output-bounds.ts'

/** A caller never chooses where a request goes, nor with whose key. */
export const REFUSED = ['api_base', 'base_url', 'api_key', 'headers', 'extra_headers', 'api_version', 'organization']
/** Members of a request that we act on, whether here, in a worker, or in a provider's adapter. */
const READ = new Set([
  ...['model', 'messages', 'input', 'stream', 'stream_options', 'n'],
  ...OUTPUT_BOUNDS,
  ...OTHER_OUTPUT_BOUNDS,
  ...['tools', 'functions', 'plugins', 'modalities', 'response_format'],
  ...['web_search_options', 'search_parameters', 'enable_search'],
  ...['user', 'safety_identifier', 'metadata', 'sluice'],
  ...REFUSED,
])
const MAX_NAME_CHARS = 32

/** Throws invalid_request for a member that is spelled as one that we read, but for its case. */
export function checkSpelling(request: JsonRecord): void {
  for (const name in request) {
    if (READ.has(name) || name.length > MAX_NAME_CHARS) continue
    const read = inOneCase(name)
    if (read !== name && READ.has(read)) throw bad(name, `"${name}" must be written "${read}".`)
  }
}

/** As servers fold it: "ſtream" and "Stream" are "stream". */
const inOneCase = (name: string): string => name.normalize('NFKC').toLowerCase()
