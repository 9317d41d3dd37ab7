/** Lines of a batch's files, as tests read them. */
export interface ResultLine {
  readonly id: string
  readonly custom_id: string
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: object } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

export const linesIn = (text: string): readonly ResultLine[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ResultLine)
