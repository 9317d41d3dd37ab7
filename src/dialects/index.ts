/** All dialects. A new one is a folder of its own, and a line here. */
import type { Dialects, Sealing, StreamForm } from '../core/ports/dialect.ts'
import { chat } from './chat/chat.ts'
import { completions } from './completions/completions.ts'
import { embeddings } from './embeddings/embeddings.ts'
import { images } from './media/images.ts'
import { speech } from './media/speech.ts'
import { speechEvents } from './media/speech-events.ts'
import { transcriptions } from './media/transcriptions.ts'
import { messages } from './messages/messages.ts'
import { nativeEvents } from './native/stream.ts'
import { responses } from './responses/responses.ts'
import { socketFrames } from './socket/frames.ts'
import { uiStream } from './ui/stream.ts'

/** `sealing`: of what clients keep and give back. */
export const dialectsBy = (sealing: Sealing): Dialects => ({
  spoken: [chat, embeddings, responses(sealing), messages, completions, images, speech, transcriptions],
  read: [uiStream as StreamForm, speechEvents as StreamForm],
  events: nativeEvents,
  frames: socketFrames,
})

/** Where nothing is sealed. */
export const DIALECTS = dialectsBy({ seal: () => null, open: () => null })
