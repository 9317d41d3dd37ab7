/** What a job's events show, as the AI SDK's UI message stream has it. */
import { beginUi, resetUi, tellChunk, tellEnd, type UiChunk } from '../../src/dialects/ui/chunks.ts'
import type { JobEvent } from './events.ts'

/** Events of a job as chunks, as `?dialect=ui` has them. */
export function createWriter(job: string): (event: JobEvent) => readonly UiChunk[] {
  let ui = beginUi(job)
  return (event) => {
    const chunks: UiChunk[] = []
    if (event.type === 'chunk') ui = tellChunk(ui, event.chunk, chunks)
    else if (event.type === 'reset' || event.type === 'gap') {
      ui = resetUi(ui)
      chunks.push({ type: 'reset-step' })
    } else if (event.type === 'end') {
      const { state, error, cut } = event
      const errorText = error?.message ?? `The job ended: ${state}.`
      ui = tellEnd(ui, { state, errorText, isCut: cut !== null }, chunks)
    }
    return chunks
  }
}
