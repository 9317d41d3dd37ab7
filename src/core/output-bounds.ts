/** The members by which a request bounds its answer, whichever of them its engine reads. */

/** OpenAI's own. */
export const OUTPUT_BOUNDS = ['max_completion_tokens', 'max_tokens'] as const
/** What some engines read instead, or before these: llama.cpp, Ollama, TGI and SGLang, Responses and Gemini. */
export const OTHER_OUTPUT_BOUNDS = ['n_predict', 'num_predict', 'max_new_tokens', 'max_output_tokens'] as const

/** Engines take -1, and some 0, for no bound at all. */
export const isOutputBound = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1
