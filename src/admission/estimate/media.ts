/** Tokens of images, sounds and files. */
import { MEDIA_TOKENS } from '../../core/estimate.ts'
import type { Medium } from '../../core/ports/weights.ts'
import { imageSize, type Size } from './image-size.ts'

/** How a model counts an image. */
type Rule =
  /** A token count for each image, and one for each tile of 512 pixels, once it is scaled to fit. */
  | { readonly base: number; readonly tile: number }
  /** Tokens for each patch of 32 pixels. */
  | { readonly patch: number }
  /** Pixels for each token. */
  | { readonly pixels: number }

/** The first that matches a model's name, without its vendor. As the vendors document it. */
const RULES: ReadonlyArray<readonly [RegExp, Rule]> = [
  [/^gpt-4o-mini/, { base: 2_833, tile: 5_667 }],
  [/^gpt-(?:4\.1|5[\w.]*)-nano/, { patch: 2.46 }],
  [/^gpt-(?:4\.1|5[\w.]*)-mini/, { patch: 1.62 }],
  [/^o4-mini/, { patch: 1.72 }],
  [/^gpt-5/, { base: 70, tile: 140 }],
  [/^o[13]/, { base: 75, tile: 150 }],
  [/^claude/, { pixels: 750 }],
]
/** GPT-4o's and GPT-4.1's. */
const OTHERWISE: Rule = { base: 85, tile: 170 }

const [BOX, SHORT_SIDE, TILE] = [2_048, 768, 512]
const [PATCH, MAX_PATCHES] = [32, 1_536]
/** Claude scales images down to this. */
const MAX_PIXELS = 1_200_000

/** More are as those are on average. */
const MAX_READ = 16

/** `model`: its name without the vendor's. */
export function mediaTokens(media: readonly Medium[], model: string): number {
  if (media.length === 0) return 0
  const rule = RULES.find(([name]) => name.test(model))?.[1] ?? OTHERWISE
  const read = Math.min(media.length, MAX_READ)
  let tokens = 0
  for (let i = 0; i < read; i++) tokens += tokensOf(media[i], rule)
  return Math.round((tokens / read) * media.length)
}

function tokensOf({ text, detail }: Medium, rule: Rule): number {
  if (detail === 'low' && 'tile' in rule) return rule.base
  const size = imageSize(text)
  return size === null ? MEDIA_TOKENS : imageTokens(size, rule)
}

function imageTokens({ width, height }: Size, rule: Rule): number {
  if ('pixels' in rule) return Math.ceil(Math.min(width * height, MAX_PIXELS) / rule.pixels)
  if ('patch' in rule) return Math.ceil(patches(width, height) * rule.patch)
  const fit = Math.min(1, BOX / Math.max(width, height))
  const scale = fit * Math.min(1, SHORT_SIDE / (Math.min(width, height) * fit))
  // A length such as 1536 must not become one of 1536.0000000000002
  const tiles = (length: number): number => Math.ceil(Math.round(length * scale) / TILE) || 1
  return rule.base + rule.tile * tiles(width) * tiles(height)
}

function patches(width: number, height: number): number {
  const needed = Math.ceil(width / PATCH) * Math.ceil(height / PATCH)
  if (needed <= MAX_PATCHES) return needed
  const scale = Math.sqrt((PATCH * PATCH * MAX_PATCHES) / (width * height))
  const [across, down] = [(width * scale) / PATCH, (height * scale) / PATCH]
  const shrink = Math.min(Math.floor(across) / across, Math.floor(down) / down)
  return Math.min(MAX_PATCHES, Math.ceil(across * shrink) * Math.ceil(down * shrink))
}
