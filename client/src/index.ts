export type {
  JobRequest,
  NewsFrame,
  WatchingFrame,
  WireChunk,
  WireJob,
  WireLimit,
  WirePlace,
  WireRoom,
  WireTiming,
  WireTtft,
  WireUsage,
} from '../../src/core/frames.ts'
export { type ConnectOptions, connect, type Sluice } from './connect.ts'
export type { Conversation, ConversationOptions } from './conversation.ts'
export { SluiceError } from './errors.ts'
export type { Accepted, Answer, EndEvent, JobEvent } from './events.ts'
export type { Message } from './fold.ts'
export type { Job } from './job.ts'
export type { Submission } from './related.ts'
export type {
  CanceledRun,
  Run,
  RunBudget,
  RunJob,
  RunList,
  RunPage,
  RunRequest,
  Runs,
  RunTotals,
  RunUse,
} from './runs.ts'
export type { State } from './transport.ts'
export type { ChatMessage, Cut, Turn, TurnState } from './turn.ts'
