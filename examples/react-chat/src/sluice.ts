/** One client for the whole page: every chat and every upload shares its connection. */
import { connect } from '@sluice/client'

declare const __SLUICE_URL__: string
declare const __SLUICE_MODEL__: string

export const request = { model: __SLUICE_MODEL__ }

export const sluice = connect({ url: __SLUICE_URL__, ticket })

async function ticket(): Promise<string> {
  const response = await fetch('/ticket', { method: 'POST' })
  const { ticket: made, error } = (await response.json()) as { ticket?: string; error?: { message: string } }
  if (made === undefined) throw new Error(error?.message ?? `The backend answered with HTTP ${response.status}.`)
  return made
}
