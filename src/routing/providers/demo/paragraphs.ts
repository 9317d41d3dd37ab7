/** Each a paragraph of whole sentences that fits anywhere in an answer. */
export const PARAGRAPHS: ReadonlyArray<readonly string[]> = [
  [
    'When you pressed send, your request became a job.',
    'Sluice wrote it to disk and synced it before it told your client that it was accepted.',
    'From that moment on it would have survived a crash of the server, or even a power cut.',
  ],
  [
    'Every token you read here was stored before it was sent.',
    'That sounds slow, but the tokens of all running answers share one write every few milliseconds.',
    'So a thousand streams cost hardly more disk writes than one.',
  ],
  [
    'Pull the network cable, if you like.',
    'I will go on talking, and the words will wait in the log.',
    'When you come back, your client names the last record it has, and gets the rest in one piece.',
  ],
  [
    'Nothing is sent twice, and nothing is left out.',
    'Each record of this answer has a number, without gaps, and your client applies each number once.',
    'That is why a reconnect never shows you the same half sentence again.',
  ],
  [
    'You can send your next message before I have finished this one.',
    'In a conversation it stands in line, and its prompt is put together only when I am done.',
    'That way it knows what I said, although I had not said it when you pressed the key.',
  ],
  [
    'If another thousand people asked something right now, none of them would be turned away.',
    'Their jobs would wait in a queue that is fair by tokens, not by requests.',
    'Somebody who asks for long answers waits behind their own work, not in front of yours.',
  ],
  [
    'Suppose somebody kills the server with kill -9 in the middle of this sentence.',
    'It starts again, finds this job unfinished, and takes it up where its log ends.',
    'You would see a short pause, and then the next word.',
  ],
  [
    'Closing this tab is not the same as stopping me.',
    'A job in a conversation runs to its end whether anyone is watching or not.',
    'If you do want me to stop, there is a button for that, and the provider is told within a tenth of a second.',
  ],
  [
    'Your second tab shows these words too.',
    'Both tabs read the same log, each at its own pace.',
    'A slow reader holds nobody up: the server remembers a position for it, not a pile of text.',
  ],
  [
    'A real provider fails now and then.',
    'When it refuses a call before any text was shown, Sluice tries another deployment and you never hear of it.',
    'When it breaks off later, the answer is continued or begun again, and your client is told which.',
  ],
  [
    'Any OpenAI client can talk to this server if you change its base URL.',
    'It sends the request it always sent and gets the stream it always got.',
    'Behind that door it is the same job, in the same queue, with the same log.',
  ],
  [
    'Clients of OpenAI repeat a request when the connection breaks.',
    'Sluice recognizes the repeat and hands out the answer that is already under way.',
    'You pay for one generation, not for two.',
  ],
  [
    'All of this runs in one process, with one folder on one disk.',
    'There is no database to install and no broker to look after.',
    'You can copy the folder while the server is stopped, and you have a backup.',
  ],
  [
    'The time until the first word is measured, and split into its parts.',
    'There is the time in the queue, the time the provider took to begin, and very little in between.',
    'If something feels slow, these numbers say where to look.',
  ],
  [
    'An answer is called done only if the provider said that it was.',
    'A stream that simply stops is a failure here, and is reported as one.',
    'Half an answer that looks whole is worse than an error, because nobody checks it.',
  ],
  [
    'The page you may be reading this in never saw an API key.',
    'Its own backend asked for a ticket in your name, which is valid once and only for half a minute.',
    'What you say here is visible to you, and to no other user of the same application.',
  ],
  [
    'I am not thinking about any of this, to be honest.',
    'I pick paragraphs in an order that depends on your prompt, so the same prompt gets the same answer.',
    'That makes me a poor conversationalist, but a good thing to test with.',
  ],
  [
    'You can make me misbehave on purpose.',
    'Add a line with switches to your message, and I will stall, break off or answer with an error.',
    'It is the easiest way to see what your application does on a bad day.',
  ],
]
