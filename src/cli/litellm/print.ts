/** What was translated, as YAML with comments. */
import { Document, isMap, isSeq, visit, type YAMLMap } from 'yaml'
import type { Translated } from './translate.ts'

export function printed({ models, settings, moved }: Translated, from: string): string {
  const document = new Document(
    { ...settings, models: models.map((one) => one.settings) },
    { aliasDuplicateObjects: false },
  )
  document.commentBefore = [
    ` Made of ${from} by "sluice import litellm". All settings: docs/config.md.`,
    ...[...moved].map(([name, where]) => ` Set ${name} to the secret that stands in ${where}.`),
  ].join('\n')
  const list = document.get('models', true)
  if (isSeq(list))
    for (const [i, item] of list.items.entries()) if (isMap(item)) item.commentBefore = ` ${models[i].from}`
  // References and small groups on one line
  visit(document, {
    Map(_, node: YAMLMap) {
      if (
        node.items.every(({ value }) => !isMap(value) && !isSeq(value)) &&
        node.items.length <= 3 &&
        node !== document.contents
      )
        node.flow = node.items.length > 0 && !node.has('name')
    },
    Seq(_, node) {
      if (node.items.every((item) => !isMap(item))) node.flow = true
    },
  })
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}
