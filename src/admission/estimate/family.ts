/** Which model it is, whoever serves it: models of a family count tokens alike. */

/** "meta-llama/Llama-3.1-70B" is "llama-3.1-70b". */
export const plainName = (model: string): string => model.slice(model.lastIndexOf('/') + 1).toLowerCase()

/** "gpt-4o", "claude", "llama-3.1", "o3". */
export const familyOf = (name: string): string => /^[a-z]+(?:-?\d[\w.]*)?/.exec(name)?.[0] ?? name.slice(0, 32)

/** Do these count as our vocabulary does? */
export const isO200k = (name: string): boolean => /^(?:gpt-(?:4o|4\.[1-9]|[5-9]|oss)|chatgpt-4o|o[1-9])/.test(name)
