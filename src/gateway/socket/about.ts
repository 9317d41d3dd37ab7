/** Members of a message that its error names. */
export interface About {
  readonly id?: unknown
  readonly job?: unknown
  readonly stream_id?: unknown
}
