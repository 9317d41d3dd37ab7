/** `GET /openapi.json`: the public API, for generators and viewers. */
import { hash } from 'node:crypto'
import type { Dialects } from '../../../core/ports/dialect.ts'
import { type Bytes, toBytes } from '../../../core/record.ts'
import { bytes, empty } from '../../http/answer.ts'
import type { Route } from '../../http/route.ts'

interface Kept {
  readonly body: Bytes
  readonly etag: string
}

/** `routes`: of the public listener, this one included; asked when the first caller comes. */
export function openApiRoutes(routes: () => readonly Route[], dialects: Dialects): readonly Route[] {
  let kept: Promise<Kept> | null = null

  async function make(): Promise<Kept> {
    const { openApi } = await import('./document.ts')
    const body = toBytes(JSON.stringify(openApi(routes(), dialects).document))
    return { body, etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"` }
  }

  return [
    {
      method: 'GET',
      path: '/openapi.json',
      query: 'any',
      auth: 'none',
      async run(call) {
        kept ??= make()
        const { body, etag } = await kept
        const headers = { etag, 'cache-control': 'public, max-age=300' }
        return call.header('if-none-match') === etag ? empty(304, headers) : bytes(200, body, headers)
      },
    },
  ]
}
