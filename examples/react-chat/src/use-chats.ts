/** The user's chats, newest first, as Sluice keeps them; the current one is in the address. */
import { useCallback, useEffect, useState } from 'react'
import { sluice } from './sluice.ts'

const SHOWN = 20

interface Listed {
  readonly id: string
  readonly name: string | null
}

export interface Chats {
  readonly ids: readonly string[]
  readonly current: string
  choose(id: string): void
  begin(): void
  /** There may be new ones, or another order. */
  refresh(): void
}

const inAddress = (): string => location.hash.slice(1)

export function useChats(): Chats {
  const [current, setCurrent] = useState(inAddress)
  const [listed, setListed] = useState<readonly Listed[]>([])

  const choose = useCallback((id: string) => {
    location.hash = id
    setCurrent(id)
  }, [])
  const begin = useCallback(() => choose(crypto.randomUUID()), [choose])
  const refresh = useCallback(() => {
    sluice.http('GET', `/v1/conversations?limit=${SHOWN}`).then(
      (page) => setListed((page as { readonly data: readonly Listed[] }).data),
      () => {}, // the state of the connection tells
    )
  }, [])

  useEffect(refresh, [refresh])
  useEffect(() => {
    const follow = (): void => setCurrent(inAddress())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  useEffect(() => {
    if (current === '') begin()
  }, [current, begin])

  const known = listed.map(({ id }) => id)
  const ids = current === '' || known.includes(current) ? known : [current, ...known]
  return { ids, current, choose, begin, refresh }
}
