/** A model's settings: those of every model, joined with those of its provider. */
import { z } from 'zod'
import { JOB_KINDS } from '../core/job.ts'
import { POLICIES } from '../core/policies.ts'
import { PROVIDERS } from '../routing/providers/index.ts'
import { count, duration, flag, list, percentileOrDuration, secret } from '../settings/fields.ts'
import type { ProviderSettings } from '../settings/provider.ts'
import { asGivenBy } from './as-given.ts'

export const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, ".", "_" or "-", at most 64')

/** US dollars. */
const dollars = (description: string) =>
  z.number().min(0).max(1_000_000).nullable().prefault(null).describe(description)

const timeout = () => duration({ min: 1 }).nullable().prefault(null).describe('Null: the value in `timeouts`.')

const goal = () => duration({ min: 1 }).nullable().prefault(null).describe('Null: the value in `goals`.')

export const policy = () => z.enum(POLICIES)

const models = (description: string) => list().prefault([]).describe(description)

const ability = (description: string) =>
  flag().nullable().prefault(null).describe(`${description} Null: not known, so yes.`)

const common = {
  deployment: name
    .nullable()
    .prefault(null)
    .describe('Its name in logs and metrics. Null: `name@host`, with more after it where two would have the same.'),
  kinds: z
    .array(z.enum(JOB_KINDS))
    .min(1)
    .prefault(['chat', 'embedding'])
    .describe(
      'Kinds of request it accepts: `image`, `speech` and `transcription` (of sounds, and their translation) where ' +
        'the model makes or reads those (docs/media.md).',
    ),
  order: count()
    .prefault(0)
    .describe('Lower values are tried first; higher ones are used when those are full or failing.'),
  weight: count({ max: 1_000_000 })
    .nullable()
    .prefault(null)
    .describe(
      'Its share of the requests under the policy `weighted`. 0: none while another one works. Null: 1, or what was ' +
        'set while the server ran (`sluice deployments`).',
    ),
  policy: policy()
    .nullable()
    .prefault(null)
    .describe('How one of a group is chosen. Null: `routing.policy`. Of a group, the first entry that sets one.'),
  fallbacks: z
    .strictObject({
      general: models('Models that answer when none of its deployments works.'),
      context_window: models('Models that answer when the prompt is too long for it.'),
      content_policy: models('Models that answer when its provider refuses what was asked.'),
    })
    .prefault({})
    .describe('Models that answer in its place. Of a group, the first entry that names any.'),
  tags: list(z.string().regex(/^[\w.:-]{1,64}$/, 'expected letters, digits, "_", ".", ":" or "-", at most 64'))
    .prefault([])
    .describe('Words that requests can ask for with the option `tags`.'),
  region: name.nullable().prefault(null).describe('Where it is, for people.'),
  can: z
    .strictObject({
      tools: ability('May requests bring tools?'),
      vision: ability('May they bring images?'),
      json_schema: ability('May they ask for a JSON schema?'),
      continue: ability('Can it continue a partial answer?'),
    })
    .prefault({})
    .describe('What it can do: a request goes to deployments that can do what it needs.'),
  api_keys: z
    .array(secret())
    .prefault([])
    .describe(
      'More keys of the same provider, by reference: each is a deployment of its own, with limits of its own, called ' +
        '`NAME#2` and so on. The same key twice is refused.',
    ),
  limits: z
    .strictObject({
      concurrent: count({ min: 1 })
        .nullable()
        .prefault(null)
        .describe('Concurrent calls; more wait in the queue. Null: no limit.'),
      requests_per_minute: count({ min: 1 })
        .nullable()
        .prefault(null)
        .describe('Calls begun in any 60 seconds; more wait in the queue. Null: no limit.'),
      tokens_per_minute: count({ min: 1 })
        .nullable()
        .prefault(null)
        .describe('Tokens of prompts and answers in any 60 seconds; more wait in the queue. Null: no limit.'),
    })
    .prefault({})
    .describe('Limits of this deployment.'),
  price: z
    .strictObject({
      input: dollars('US dollars for a million tokens of input. With all prices null, the list price holds.'),
      cached_input: dollars('The same for input that the provider had cached. Null: as `input`.'),
      cache_write: dollars('The same for input that it cached. Null: as `input`.'),
      output: dollars('The same for output.'),
      reasoning: dollars('The same for reasoning, where it costs other than `output`.'),
      input_audio: dollars('The same for sound in the input. Null: as `input`.'),
      output_audio: dollars('The same for sound in the output. Null: as `output`.'),
      request: dollars('US dollars for each request, beside its tokens.'),
      image: dollars('US dollars for each image that is made.'),
      second: dollars('US dollars for each second of a sound that is transcribed.'),
      character: dollars('US dollars for each character of a text that is spoken.'),
    })
    .prefault({})
    .describe('What calls cost.'),
  pool: name.prefault('text').describe('The pool of workers that runs its jobs.'),
  context_tokens: count({ min: 1 })
    .nullable()
    .prefault(null)
    .describe(
      'Size of its context window. Conversations are trimmed to it, oldest turns first, and longer prompts go ' +
        'elsewhere. Null: not known; conversations are trimmed to 128 000.',
    ),
  conversation_members: list()
    .prefault([])
    .describe(
      'Members of an answer that are sent back with the next prompt of a conversation, e.g. `reasoning_content`. ' +
        'Always sent: content, refusal, tool calls and the id of an audio.',
    ),
  stream: z
    .enum(['as_asked', 'always', 'never'])
    .prefault('as_asked')
    .describe(
      'Whether the provider is asked for a stream. `as_asked`: a client that wants one JSON answer gets the ' +
        "provider's own, byte for byte. `always` and `never`: for providers that can do only one.",
    ),
  timeouts: z
    .strictObject({ ttft_ms: timeout(), inter_token_ms: timeout(), total_ms: timeout() })
    .prefault({})
    .describe('Timeouts of this model.'),
  min_speed: z
    .strictObject({
      tokens_per_second: z.number().positive().max(10_000).describe('Tokens of output a second.'),
      over_ms: duration({ min: 100, max: 60_000 })
        .prefault('3s')
        .describe('Judged over this time, from the first text.'),
    })
    .nullable()
    .prefault(null)
    .describe(
      'How fast a stream must begin. Its text is held back until that is clear, at most for `over_ms`; one that is ' +
        'slower goes to another deployment, unseen. Only the first attempt of a job is judged, and only where there ' +
        'is another deployment.',
    ),
  hedge: z
    .strictObject({
      after: percentileOrDuration({ min: 10, max: 600_000 })
        .prefault('p95')
        .describe(
          "When a stream that has shown nothing gets a second call: a percentile of the deployment's own times to a " +
            'first text (`p50` to `p99`; of its last 128 calls, once there are 20; 100 ms at least), or a duration.',
        ),
    })
    .nullable()
    .prefault(null)
    .describe(
      'Calls another deployment of the group, where this one is slow to begin. Whichever shows text first answers, ' +
        'and the other call is aborted; both are paid for. At most a fifth of the calls of a model, and two a second.',
    ),
  goals: z
    .strictObject({ ttft_ms: goal(), tpot_ms: goal() })
    .prefault({})
    .describe('What a good answer of this model is. Of a group, the first entry that sets one.'),
}

const modelName = z
  .string()
  .regex(/^[\w.:/@+-]{1,200}\*?$|^\*$/, 'expected a model name, or the beginning of one followed by "*"')
  .describe(
    'The name clients use; a trailing "*" matches any ending. Entries with the same name form one group, tried by ' +
      '`order`.',
  )

const shapeOf = ({ name, about, shape }: ProviderSettings): z.ZodRawShape => ({
  name: modelName,
  provider: z.literal(name).describe(about),
  ...shape,
  ...common,
})

type ModelOf<Kind> =
  Kind extends ProviderSettings<infer Name, infer Shape>
    ? z.output<z.ZodObject<typeof common & Shape>> & { readonly name: string; readonly provider: Name }
    : never
type Model = ModelOf<(typeof PROVIDERS)[number]>

/** Each checks its own settings; which those are is known here only at run time. */
const KINDS = PROVIDERS as readonly unknown[] as readonly ProviderSettings[]
const union = (option: (kind: ProviderSettings) => z.core.$ZodTypeDiscriminable) =>
  z.discriminatedUnion('provider', KINDS.map(option) as unknown as [z.core.$ZodTypeDiscriminable])

/** For documents and editors. */
export const model = union((kind) => z.strictObject(shapeOf(kind)))

/** What is another provider's is checked, and left out: a model may be tried at one provider, then at another. */
function ofKind(kind: ProviderSettings, others: z.ZodRawShape): z.ZodType {
  const own = shapeOf(kind)
  const whole = (given: unknown): unknown =>
    typeof given === 'object' && given !== null
      ? { ...given, ...kind.complete?.(given as Readonly<Record<string, unknown>>) }
      : given
  return z
    .preprocess(whole, z.strictObject({ ...others, ...own }))
    .superRefine((given, context) =>
      kind.check?.(given, (setting, message) => context.addIssue({ code: 'custom', path: [setting], message })),
    )
    .transform((given) => Object.fromEntries(Object.entries(given).filter(([key]) => Object.hasOwn(own, key))))
}

/** No provider needs what another requires. */
const optionalOf = (kinds: readonly ProviderSettings[]): z.ZodRawShape =>
  Object.fromEntries(kinds.flatMap(({ shape }) => Object.entries(shape)).map(([key, type]) => [key, z.optional(type)]))

/** A model's settings as they are given, by any of these providers. */
export function asGiven(kinds: readonly ProviderSettings[]) {
  // Each has the settings of all: made for the first model of it, as a start needs one or two of dozens
  const made = new Map<ProviderSettings | undefined, z.ZodType>()
  let others: z.ZodRawShape | null = null
  const make = (kind: ProviderSettings | undefined): z.ZodType => {
    others ??= optionalOf(kinds)
    if (kind !== undefined) return ofKind(kind, others)
    // For an unknown provider: reports everything else that is wrong, too
    return z.strictObject({ ...others, name: modelName, ...common, provider: z.enum(kinds.map(({ name }) => name)) })
  }
  return asGivenBy<Model>((given) => {
    const { provider } = (given ?? {}) as { readonly provider?: unknown }
    const kind = kinds.find(({ name }) => name === provider)
    const known = made.get(kind) ?? make(kind)
    made.set(kind, known)
    return known
  })
}

export const modelAsGiven = asGiven(KINDS)

/** Of what was given for a model: settings that only other providers have. */
export function settingsOfOthers(given: Readonly<Record<string, unknown>>): readonly string[] {
  const kind = KINDS.find(({ name }) => name === given['provider'])
  if (kind === undefined) return []
  const isOthers = (key: string): boolean =>
    !Object.hasOwn(shapeOf(kind), key) && KINDS.some((other) => Object.hasOwn(other.shape, key))
  return Object.keys(given).filter(isOthers)
}
