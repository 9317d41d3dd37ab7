/** Money for people: "$18.42", under a cent "$0.0041", "<$0.0001", "$0". */
export function moneyText(nanoUsd: number): string {
  const dollars = nanoUsd / 1e9
  if (dollars === 0) return '$0'
  if (dollars < 0.000_05) return '<$0.0001'
  return `$${dollars.toFixed(dollars < 0.01 ? 4 : 2)}`
}
