/** What is made once, however often its request comes. */
export interface MadeOnce {
  /** Id of what this request has made before; null: it has made nothing. */
  readonly made: string | null
  /** Its id: this one, or the one that another repeat was given meanwhile. */
  claim(id: string): Promise<string>
}
