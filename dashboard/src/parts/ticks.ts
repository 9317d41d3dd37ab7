/** Where axes have their ticks. Pure. */
import { minute, seconds } from '../format.ts'

/** The least nice number from `most` on: 1, 1.5, 2, 3, 4, 5, 6, 8 × 10^n. */
export function niceMost(most: number): number {
  if (most <= 0) return 1
  const size = 10 ** Math.floor(Math.log10(most))
  const found = [1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15].find((nice) => nice * size >= most * 1.02)
  return (found ?? 15) * size
}

const SPLITS_MS = [15, 30, 60, 120, 180, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400].map(
  (seconds) => seconds * 1_000,
)
const LABEL_PX = 84

/** Round local times, as many as there is room for. */
export function timeSplits(fromMs: number, toMs: number, width: number): readonly number[] {
  const most = Math.max(2, Math.floor(width / LABEL_PX))
  const step =
    SPLITS_MS.find((ms) => (toMs - fromMs) / ms <= most) ?? Math.ceil((toMs - fromMs) / most / 86_400_000) * 86_400_000
  const zone = new Date(fromMs).getTimezoneOffset() * 60_000
  const splits: number[] = []
  for (let at = Math.ceil((fromMs - zone) / step) * step + zone; at < toMs; at += step) splits.push(at)
  return splits
}

const DAY = new Intl.DateTimeFormat('en', { weekday: 'short', day: 'numeric' })
export const timeLabel = (atMs: number, spanMs: number): string =>
  spanMs > 2 * 86_400_000 ? DAY.format(atMs) : spanMs < 240_000 ? seconds(atMs) : minute(atMs)
