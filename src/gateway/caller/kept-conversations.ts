/** Conversations that were made as OpenAI's API makes them, as far as a caller may see them. */
import type { Document } from '../../core/ports/documents.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Caller, prefixOf } from './caller.ts'

export const CONVERSATION_PREFIX = 'conv'

/** Null: it was not made so, or by somebody whose names are others. */
export async function keptConversation(
  { documents }: Pick<GatewayDeps, 'documents'>,
  caller: Caller,
  id: string,
): Promise<Document | null> {
  if (!id.startsWith(`${CONVERSATION_PREFIX}_`) || !/^\w{1,128}$/.test(id)) return null
  const document = await documents.get('conversation', id)
  const isOwn = document?.tenant === caller.key.tenant && document.body['scope'] === prefixOf(caller)
  return isOwn ? document : null
}
