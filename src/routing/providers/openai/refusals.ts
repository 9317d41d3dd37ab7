/**
 * What a provider's refusal means. Few say it by a code: the rest is told by the words that each one uses, which are
 * read here and nowhere else. Data, no code: a row is what it means, how it is said, and who says it so.
 */
export type Meaning =
  /** Prompt and answer are more than the model's context. */
  | 'context_length_exceeded'
  | 'content_filter'
  /** This model has no eyes, no tools, no schemas; another may. */
  | 'unable'
  /** Our account there has no money. */
  | 'no_credit'
  /** Our key is wrong, whatever the status says. */
  | 'bad_key'

interface Row {
  readonly means: Meaning
  /** In a code, a type, or Google's reason: words of the provider alone. */
  readonly labels?: RegExp
  /** In the message, which may quote the request. What blames our account must begin it: no caller chooses that. */
  readonly message?: RegExp
}

const ROWS: readonly Row[] = [
  // Google: "API key not valid. Please pass a valid API key.", "API key expired. Please renew the API key.", by 400
  {
    means: 'bad_key',
    labels: /\bapi_key_(?:invalid|expired|service_blocked)\b/,
    message: /^api key (?:not valid|expired)/i,
  },
  // xAI, by 400: {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***"}
  { means: 'bad_key', message: /^incorrect api key provided/i },
  // Anthropic, by 400: "Your credit balance is too low to access the Anthropic API."
  { means: 'no_credit', message: /^your credit balance is too low/i },
  // OpenAI, Groq, Azure, OpenRouter; z.ai; llama.cpp's server; Anthropic by 413
  {
    means: 'context_length_exceeded',
    labels: /\b(?:context_length_exceeded|token_limit_exceeded|model_context_window_exceeded)\b/,
  },
  { means: 'context_length_exceeded', labels: /\b(?:exceed_context_size_error|request_too_large)\b/ },
  // vLLM and DeepSeek (as OpenAI once did), OpenRouter ("this endpoint's"), Mistral, Fireworks
  { means: 'context_length_exceeded', message: /maximum (?:context|prompt|model) length\b/i },
  // Fireworks: "The prompt is too long: …, model maximum context length: …"; Anthropic: "prompt is too long: … tokens"
  { means: 'context_length_exceeded', message: /\bprompt (?:is )?too long\b/i },
  // Anthropic: "input length and `max_tokens` exceed context limit"
  { means: 'context_length_exceeded', message: /exceeds? (?:the )?context (?:limit|window|length)/i },
  // llama.cpp: "request (… tokens) exceeds the available context size"; MiniMax: "context window exceeds limit"
  { means: 'context_length_exceeded', message: /exceeds the available context size|context window exceeds/i },
  // SGLang: "The input (… tokens) is longer than the model's context length"; LM Studio: "greater than"
  { means: 'context_length_exceeded', message: /(?:longer|greater) than the (?:model's )?context length/i },
  // Ollama: "the input length exceeds the context length"
  { means: 'context_length_exceeded', message: /input length exceeds (?:the )?(?:maximum )?context length/i },
  // Google: "The input token count (…) exceeds the maximum number of tokens allowed (…)."
  { means: 'context_length_exceeded', message: /exceeds the maximum number of tokens allowed/i },
  // Azure: "Input tokens exceed the configured limit of … tokens."
  { means: 'context_length_exceeded', message: /input tokens exceed the configured limit/i },
  // Bedrock: "Input is too long for requested model."
  { means: 'context_length_exceeded', message: /input is too long for (?:the )?requested model/i },
  // Cohere: "too many tokens: size limit exceeded by … tokens", "total number of tokens … cannot exceed"
  { means: 'context_length_exceeded', message: /^too many tokens: (?:size limit|total number|minimal context)/i },
  // Together and TGI: "`inputs` tokens + `max_new_tokens` must be <= …"
  { means: 'context_length_exceeded', message: /`inputs` tokens \+ `max_new_tokens` must be/i },
  // Moonshot: "Your request exceeded model token limit: …"
  { means: 'context_length_exceeded', message: /exceeded model token limit/i },
  // vLLM, where nothing is left for the answer: "max_tokens must be at least 1, got -186."
  { means: 'context_length_exceeded', message: /max_(?:completion_)?tokens must be at least 1, got -\d/i },

  // OpenAI, Azure; Alibaba
  { means: 'content_filter', labels: /\b(?:content_filter|content_policy_violation|data_inspection_failed)\b/ },
  // OpenAI's `invalid_prompt`: "… flagged as potentially violating our usage policy"
  { means: 'content_filter', message: /flagged as potentially violating/i },
  // OpenAI: "Your request was rejected as a result of our safety system."
  { means: 'content_filter', message: /rejected as a result of our safety system/i },
  // Anthropic: "Output blocked by content filtering policy"
  { means: 'content_filter', message: /blocked by (?:our )?content filtering policy/i },
  // Azure: "The response was filtered due to the prompt triggering … content management policy."
  { means: 'content_filter', message: /content management policy/i },
  // OpenRouter, by 403: "… requires moderation … Your input was flagged for …"; xAI, by 403
  { means: 'content_filter', message: /\byour input was flagged\b|^content violates usage guidelines/i },
  // DeepSeek: "Content Exists Risk"
  { means: 'content_filter', message: /^content exists risk/i },

  // vLLM: "… is not a multimodal model"; SGLang; llama.cpp: "image input is not supported - hint: … mmproj"
  { means: 'unable', message: /is not a (?:multimodal|vision) model|(?:image|audio) input is not supported/i },
  // Ollama: "this model does not support image input"; OpenRouter: "No endpoints found that support image input"
  { means: 'unable', message: /(?:does not|doesn't|that) support (?:image|audio|vision|tool|function)/i },
  // OpenAI: "image_url is only supported by certain models"; xAI: "Image inputs are not supported by this model"
  { means: 'unable', message: /image_url is only supported by|(?:image|audio) inputs are not supported/i },
  // llama.cpp without its projector
  { means: 'unable', message: /unsupported content part type: "?image_url/i },
  // vLLM: '"auto" tool choice requires --enable-auto-tool-choice'; llama.cpp: "tools param requires --jinja flag"
  { means: 'unable', message: /requires --(?:enable-auto-tool-choice|jinja)/i },
  // Groq: "`tool calling` is not supported with this model", "does not support response format `json_schema`"
  { means: 'unable', message: /`?tool calling`? is not supported|support response format `?json_schema/i },
  // OpenAI: "'response_format' of type 'json_schema' is not supported with this model"
  { means: 'unable', message: /'response_format' of type 'json_schema' is not supported/i },
]

/** `labels`: in lower case. `message`: no longer than may be searched so often. Null: nothing that is known. */
export function meaningOf(labels: string, message: string): Meaning | null {
  return ROWS.find((row) => row.labels?.test(labels) || row.message?.test(message))?.means ?? null
}
