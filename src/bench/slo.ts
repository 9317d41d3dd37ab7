/** Goals and conditions on the command line: "ttft.p95<800ms,tpot.p95<40ms", "error>5%". */

export type SloMetric = 'ttft' | 'tpot' | 'e2e' | 'error' | 'goodput'

export interface SloTerm {
  readonly metric: SloMetric
  /** 0.95; null: of each single request (goodput), or a share. */
  readonly quantile: number | null
  readonly is: '<' | '>'
  /** Ms, or 0 to 1 for a share. */
  readonly limit: number
  /** As it was written. */
  readonly text: string
}

const TERM = /^(ttft|tpot|e2e|error|goodput)(?:\.p(\d{1,2}(?:\.\d+)?))?(<|>)(\d+(?:\.\d+)?)(ms|s|%)$/
const MAX_TERMS = 16

/** A sentence for who wrote it: what is wrong, and how it is written. */
export class SloError extends Error {}

/** Throws SloError. */
export function readSlo(text: string): SloTerm[] {
  const terms = text.split(',').map((term) => term.replaceAll(/\s/g, ''))
  if (terms.length > MAX_TERMS) throw new SloError(`at most ${MAX_TERMS} conditions`)
  return terms.map(readTerm)
}

function readTerm(text: string): SloTerm {
  const [, metric, quantile, is, number, unit] = TERM.exec(text) ?? []
  const isShare = metric === 'error' || metric === 'goodput'
  if (metric === undefined || isShare !== (unit === '%') || (isShare && quantile !== undefined))
    throw new SloError(
      `${JSON.stringify(text)} is no condition: write ttft.p95<800ms, tpot<40ms, error<1% or goodput>95%`,
    )
  const limit = Number(number) * (unit === 's' ? 1_000 : unit === '%' ? 0.01 : 1)
  return {
    metric: metric as SloMetric,
    quantile: quantile === undefined ? null : Number(quantile) / 100,
    is: is as '<' | '>',
    limit,
    text,
  }
}
