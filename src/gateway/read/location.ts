/** Where an answer continues: GET it, with Last-Event-ID for a stream, and nothing else. PROTOCOL.md section 3. */
import type { JobId } from '../../core/job.ts'

/** `json`: the whole answer, once there is one. */
export type Rendering = 'native' | 'chat' | 'json'

export function locationOf(job: JobId, rendering: Rendering): string {
  const at = `/v1/jobs/${job}`
  switch (rendering) {
    case 'native':
      return `${at}/events`
    case 'chat':
      return `${at}/events?dialect=chat`
    case 'json':
      return `${at}/result`
  }
}
