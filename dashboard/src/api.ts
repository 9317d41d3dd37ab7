/** The admin API, as far as it is not live. The cookie tells who asks; the header, that the page does. */
import type { WireError } from '../../src/core/errors.ts'
import { lostSession } from './session.ts'

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string
  readonly requestId: string | null
  /** The member of what was sent that is to blame. */
  readonly param: string | null

  constructor(status: number, code: string, message: string, requestId: string | null, param: string | null = null) {
    super(message)
    this.status = status
    this.code = code
    this.requestId = requestId
    this.param = param
  }
}

/** No answer in this time is none. */
const PATIENCE_MS = 20_000

export async function call<T = unknown>(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<T> {
  const patience = AbortSignal.timeout(PATIENCE_MS)
  let response: Response
  try {
    response = await fetch(path, {
      method,
      headers: { 'x-sluice-page': '1', ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, 'no_answer', 'No answer from Sluice. Nothing was changed, as far as this page knows.', null)
  }
  const text = await response.text()
  const told = parsed(text)
  if (response.ok) return told as T
  if (response.status === 401) lostSession()
  const { code, message, param } = ((told as { error?: Partial<WireError> } | undefined)?.error ??
    {}) as Partial<WireError>
  throw new ApiError(
    response.status,
    code ?? 'unknown',
    message ?? `Sluice answered ${response.status}, without a reason.`,
    response.headers.get('x-request-id'),
    param,
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const get = <T>(path: string, options?: { readonly signal?: AbortSignal }): Promise<T> =>
  call<T>('GET', path, undefined, options)
