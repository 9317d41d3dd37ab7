/** Where Kafka is, and how it is used. */
import { z } from 'zod'
import { count, duration, filePath, flag, list, secret, size } from '../../settings/fields.ts'

/** "[::1]:9092" too. */
const broker = z
  .string()
  .regex(/^(\[[\da-f:.]+\]|[^\s:/@[\]]+):\d{1,5}$/i, 'expected the host and port of a broker: 10.0.0.2:9092')

export const kafkaSettings = z
  .strictObject({
    brokers: list(broker)
      .prefault([])
      .describe("Brokers of the cluster, as `host:port`; the others are learnt from them. Empty: Kafka isn't used."),
    prefix: z
      .string()
      .regex(/^[\w.-]{1,64}$/, 'expected letters, digits, ".", "_" or "-", at most 64')
      .prefault('sluice')
      .describe(
        'Names of topics and groups begin with it: `<prefix>.<pool>`, `<prefix>-dead.<pool>`, `<prefix>-events`.',
      ),
    create_topics: flag()
      .prefault(true)
      .describe('Make the topics that are missing. Else a start without them fails, and names them.'),
    partitions: count({ min: 1, max: 10_000 })
      .prefault(12)
      .describe('Partitions of a topic that is made: so many processes at most can take from it at a time.'),
    replicas: count({ min: 1, max: 100 })
      .nullable()
      .prefault(null)
      .describe("Copies of a topic that is made. Null: the brokers' own default. 3 survives the loss of a broker."),
    window: count({ min: 1, max: 100_000 })
      .prefault(256)
      .describe('Messages of a pool that this process has read and that are not yet jobs; the rest waits in Kafka.'),
    session_timeout_ms: duration({ min: 1_000, max: 300_000 })
      .prefault('10s')
      .describe('A process that is killed leaves its partitions to others after this time.'),
    confirm_timeout_ms: duration({ min: 100, max: 300_000 })
      .prefault('10s')
      .describe('A submit that Kafka has not confirmed by then is refused with intake_unavailable.'),
    max_message_bytes: size({ min: 1024, max: 2 ** 26 })
      .prefault('900KiB')
      .describe("The largest job, and batch of jobs: less than the topics' `max.message.bytes` (1 MB by default)."),
    tls: flag().prefault(false).describe('Encrypt connections to the brokers.'),
    ca_file: filePath()
      .nullable()
      .prefault(null)
      .describe("Certificates (PEM) that the brokers' are checked with. Null: the authorities that Node trusts."),
    cert_file: filePath().nullable().prefault(null).describe('Our certificate (PEM), where brokers ask for one.'),
    key_file: filePath().nullable().prefault(null).describe('Its key (PEM).'),
    sasl_mechanism: z
      .enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
      .prefault('SCRAM-SHA-512')
      .describe('How the user is authenticated.'),
    username: z.string().min(1).nullable().prefault(null).describe('Null: the brokers ask for no user.'),
    password: secret().nullable().prefault(null).describe('Of that user. In the environment: the password itself.'),
    events: flag()
      .prefault(false)
      .describe(
        'Tell other programs what becomes of jobs and what they use, in the topic `<prefix>-events` (PROTOCOL.md). ' +
          'No text of prompts or answers is in it.',
      ),
  })
  .superRefine(({ tls, ca_file, cert_file, key_file, username, password }, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message })
    if (!tls && (ca_file ?? cert_file ?? key_file) !== null) refuse('tls', 'must be true where certificates are given')
    if ((cert_file === null) !== (key_file === null)) refuse('key_file', 'goes with cert_file: give both, or none')
    if ((username === null) !== (password === null)) refuse('password', 'goes with username: give both, or none')
  })

export type KafkaSettings = z.output<typeof kafkaSettings>
