/** Text in columns, and times for people. */

/** Lines with aligned columns; the last column is not padded. */
export function columns(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths = rows.reduce<number[]>((w, row) => row.map((cell, i) => Math.max(w[i] ?? 0, cell.length)), [])
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  )
}

/** "3 s ago" */
export function ago(ms: number): string {
  if (ms < 1_000) return 'now'
  for (const [unit, size, upTo] of UNITS) if (ms < upTo) return `${Math.floor(ms / size)} ${unit} ago`
  return `${Math.floor(ms / 86_400_000)} d ago`
}

const UNITS: ReadonlyArray<readonly [string, number, number]> = [
  ['s', 1_000, 120_000],
  ['min', 60_000, 7_200_000],
  ['h', 3_600_000, 172_800_000],
]
