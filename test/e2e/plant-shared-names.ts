/** Conversations, lanes and idempotency keys of a tenant's users are the same ones. */
import { plant } from './plant.ts'

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
plant('/gateway/caller/caller.ts', "return user === null ? '' : `${encodeURIComponent(user)}/`", "return ''")
