/** Tables as CSV (RFC 4180) that no spreadsheet takes for formulas. */

/** With the line's end. Null: an empty cell. */
export const csvLine = (cells: ReadonlyArray<string | number | boolean | null>): string =>
  `${cells.map(cellOf).join(',')}\r\n`

/** Spreadsheets compute what begins so, wide characters included; an apostrophe makes it a text. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20']/
const QUOTED = /[",\r\n]|^\s|\s$/

function cellOf(value: string | number | boolean | null): string {
  if (value === null) return ''
  if (typeof value !== 'string') return String(value)
  const isFormula = FORMULA.test(value)
  const text = isFormula ? `'${value}` : value
  return isFormula || text === '' || QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
