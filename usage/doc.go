// Package usage reads the usage object that a provider of language models sends with
// an answer, and divides it into exclusive components: no token is in two of them, and
// together they are what the provider reported. Totals that include their details are
// split, numbers that stand beside each other are kept, and an object whose numbers
// cannot all be true is refused.
//
// # Types
//
// Format says whose object it is; its method Normalise does the work. Component is a
// part of the result. Explain does the same once more and writes down how, a Step for
// each component, for somebody who disputes a charge. The package is pure and keeps no
// state; a slice that Normalise appends to belongs to the caller.
//
// # What contains what
//
// Read from the vendors' pages in November 2026.
//
// OpenAI, Chat Completions and Responses. cached_tokens and cache_write_tokens are
// inside prompt_tokens (input_tokens) and do not overlap; audio_tokens, image_tokens
// and text_tokens divide it a second time. reasoning_tokens, audio_tokens and the
// accepted and rejected predictions are inside completion_tokens (output_tokens);
// predictions are billed as output and stay in it. total_tokens is the sum of both.
// An embedding has an input only. The Images API reports output_tokens as image tokens;
// where it does not divide them, they are known by input_tokens_details.image_tokens.
// Transcription reports tokens, or seconds. Realtime reports the modalities of
// what was cached.
//
// xAI imitates the format, but its reasoning_tokens stand beside completion_tokens, and
// total_tokens has them once more. That is read where total_tokens says so, and only
// there: without a total, reasoning is taken to be inside, so what xAI reports must be
// sent with its total_tokens. Gemini's endpoint for OpenAI's format has totals that are
// more than the sum of what it reports, as it leaves its reasoning out: that is refused,
// since nothing says what the rest is. Its own format has everything.
//
//	https://docs.x.ai/docs/key-information/consumption-and-rate-limits
//	https://github.com/vercel/ai/pull/12425
//	https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528
//	https://developers.openai.com/api/docs/guides/prompt-caching
//	https://developers.openai.com/api/docs/guides/reasoning
//	https://developers.openai.com/api/docs/guides/predicted-outputs
//	https://developers.openai.com/api/docs/guides/realtime-costs
//	https://developers.openai.com/api/reference
//
// Anthropic, Messages. input_tokens is what was neither read from nor written to a cache;
// all input is input_tokens + cache_read_input_tokens + cache_creation_input_tokens.
// cache_creation divides the last by time to live, unless its parts are all 0, as in the
// example of the API reference: then it is kept whole, as cache_write. thinking_tokens are an estimate inside
// output_tokens, which is what is billed: they stay in it. Web fetches cost nothing.
// inference_geo and speed, which change prices, are not read: an event that needs them
// gives them as dimensions. In particular speed "fast" is not the tier "priority", which
// Anthropic sells as capacity paid for in advance, and beside which the catalogue has no
// price of its fast mode (OpenAI's Fast mode is its priority tier). Without a dimension
// and a price that has it, fast calls cost what others do.
//
// A call may be made of several passes, each an element of iterations. The totals leave
// out those of type compaction, and what is billed is the sum of all ("Understanding
// usage" on the page about compaction), so compactions are added to the totals, if the
// passes of type message are what the totals count; a compaction is made by the model of
// the call. Passes of other types (advisor_message, fallback_message), and of several
// models, are refused as ambiguous if they have tokens: their price is another's, and an
// event has one model. Such a call is sent as an event for each model, without
// iterations.
//
//	https://platform.claude.com/docs/en/build-with-claude/prompt-caching
//	https://platform.claude.com/docs/en/build-with-claude/compaction
//	https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool
//	https://github.com/anthropics/anthropic-sdk-python (types/beta/beta_*_iteration_usage.py)
//	https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
//	https://platform.claude.com/docs/en/api/service-tiers
//	https://platform.claude.com/docs/en/build-with-claude/fast-mode
//
// Gemini, usageMetadata. promptTokenCount includes cachedContentTokenCount;
// thoughtsTokenCount and toolUsePromptTokenCount stand beside promptTokenCount and
// candidatesTokenCount, and totalTokenCount is the sum of the four. The lists of details
// divide each by modality, whose names are read in any case and with the prefix that
// Google's library for Python prints. trafficType is what Vertex AI says of the service tier:
// ON_DEMAND is the standard one, ON_DEMAND_PRIORITY and ON_DEMAND_FLEX are "priority" and
// "flex", and what PROVISIONED_THROUGHPUT paid for in advance is of the tier
// "provisioned", which no list prices. serviceTier must not say otherwise.
//
//	https://docs.cloud.google.com/vertex-ai/generative-ai/docs/deploy/consumption-options
//	https://docs.cloud.google.com/dotnet/docs/reference/Google.Cloud.AIPlatform.V1/latest/Google.Cloud.AIPlatform.V1.GenerateContentResponse.Types.UsageMetadata.Types.TrafficType
//	https://ai.google.dev/api/generate-content#UsageMetadata
//	https://ai.google.dev/gemini-api/docs/caching
//	https://googleapis.github.io/js-genai/release_docs/classes/types.GenerateContentResponseUsageMetadata.html
//
// Bedrock, Converse. inputTokens is what was neither read from nor written to a cache;
// all input is inputTokens + cacheReadInputTokens + cacheWriteInputTokens, and
// totalTokens is that and outputTokens. cacheDetails divides the writes by time to live.
// cacheReadInputTokenCount and cacheWriteInputTokenCount, as AWS's metrics and logs and
// the answers of InvokeModel for Nova name them, are the same numbers.
//
// ConverseStream has been seen to count what OpenAI's models wrote to a cache in
// inputTokens, once more in cacheWriteInputTokens, and both in totalTokens, and so with
// reads (https://github.com/maximhq/bifrost/pull/6942,
// https://github.com/anomalyco/opencode/issues/47296). The numbers are consistent and
// cannot be told from right ones: they are charged as reported. Who streams these models
// takes the cache off inputTokens and totalTokens before.
//
//	https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
//	https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
//	https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CacheDetail.html
//
// OpenTelemetry, gen_ai.usage attributes. input_tokens includes cache reads and writes and
// all modalities, output_tokens includes reasoning. prompt_tokens and completion_tokens
// are their old names. Numbers may be strings of digits, as OTLP in JSON writes integers,
// and wrapped as its values are: {"intValue":"100"}. No other format has that.
//
//	https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
//	https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/registry/attributes/gen-ai.md
//
// # Objects of another format
//
// An object that is sent as what it is not may well be read, and be charged wrongly: the
// cache of one format is inside the input, of another beside it. Keys that only another
// format has are refused if they are not 0 (wrong_usage_format): in "openai", Anthropic's
// cache_read_input_tokens and cache_creation_input_tokens beside input_tokens; in
// "anthropic", total_tokens, input_tokens_details and prompt_tokens. Beside prompt_tokens
// the two are LiteLLM's, which says with them once more what its details say: there they
// are inside prompt_tokens, as its page has it, and must not differ from the details
// ("cache_creation_tokens" is what these call a write). Its versions of 2024 did not
// count them in prompt_tokens; that is seen, and refused, only where they are more.
//
//	https://docs.litellm.ai/docs/completion/prompt_caching
//	https://github.com/BerriAI/litellm/issues/15945
//
// # What is not known
//
// Fields that are not named here are ignored. What an unknown detail counts stays in the
// rest of its total: new kinds of tokens are charged as input or output until they get
// a component, never twice and never not at all. There is no component for cached
// video, which no price list has: it is cached_input.
//
// Cache reads, cache writes and modalities divide the same input, and of which modality
// reads and writes are is often not reported. Then reads are counted as text as far as
// there is text, and what remains of them as audio, image and video, in that order, as
// far as there is of each; writes come after them in the same order, and are taken off
// the components of the modalities: all writes are cache_write, at whatever they are of.
// The order is a choice, made so that such an event is charged, for as many tokens as it
// has: in each other order the components would add up, too.
//
// The package does not price, does not check that a model can have such usage, and does
// not read streams: the object must be the one that counts the whole answer.
package usage
