/** OpenAI's chat completions. */
import type { Dialect } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { completions } from './request.ts'
import { stream } from './stream.ts'
import { whole } from './whole.ts'

export const chat: Dialect = { name: 'chat', requests: [completions], stream, whole, error: errorJson }
