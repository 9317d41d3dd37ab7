/** Text of a length in tokens, from a seed: common words, each of them one token of the usual vocabularies. */
import { random } from '../random.ts'

const WORDS = (
  'the of and to in is that it was for on are as with they be at one have this from or had by hot but some what ' +
  'there we can out other were all your when up use word how said an each she which do their time if will way ' +
  'about many then them would write like so these her long make thing see him two has look more day could go ' +
  'come did my sound no most number who over know water than call first people may down side been now find any ' +
  'new work part take get place made live where after back little only round man year came show every good me ' +
  'give our under name very through just form much great think say help low line before turn cause same mean ' +
  'differ move right boy old too does tell set three want air well also play small end put home read hand port ' +
  'large spell add even land here must big high such follow act why ask men change went light kind off need ' +
  'house picture try us again animal point mother world near build self earth'
).split(' ')

const WORDS_A_SENTENCE = 14

/** About `tokens` tokens. */
export function words(tokens: number, seed: number): string {
  const { below } = random(seed)
  const all: string[] = []
  // A full stop is a token, too
  for (let made = 0, inSentence = 0; made < tokens; made++) {
    if (++inSentence === WORDS_A_SENTENCE && all.length > 0) {
      all[all.length - 1] += '.'
      inSentence = 0
    } else all.push(WORDS[below(WORDS.length)])
  }
  return all.join(' ')
}
