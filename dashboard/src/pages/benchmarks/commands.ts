/** What an empty page of benchmarks tells to run, in order: it has to work as it is copied. */

/** `target`: the public address; `admin`: this page's. */
export const commandsFor = (target: string, admin: string, model: string): readonly string[] => {
  const run = (label: string): string => `sluice bench run --target ${target} --model ${model} --label ${label}`
  return [
    'export SLUICE_BENCH_KEY=sk-…',
    run('before'),
    run('after'),
    `sluice bench compare before after --post ${admin}`,
  ]
}
