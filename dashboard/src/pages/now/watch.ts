import type { LiveAsk, RowKind } from '../../../../src/core/live.ts'
import { type Address, rangeOf } from '../../router.ts'

export const ROW_KINDS: readonly RowKind[] = ['tenant', 'model', 'deployment']

export const rowsOf = (params: URLSearchParams): RowKind =>
  ROW_KINDS.find((kind) => kind === params.get('rows')) ?? 'tenant'

export const watchNow = (_: unknown, { params }: Address): LiveAsk => ({
  t: 'watch',
  page: 'now',
  range: rangeOf(params),
  rows: rowsOf(params),
  node: params.get('node'),
})
