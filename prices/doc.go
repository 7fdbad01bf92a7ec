// Package prices converts price lists into price book versions.
//
// ImportLiteLLM reads the list that the LiteLLM community keeps, ImportCSV a
// table that somebody wrote in a spreadsheet. Both return a Document, the body
// of PUT /v1/prices/{version}, and a Report. The result depends on the input
// alone, and not on the order in which it states things: same prices, same bytes.
// Numbers are read as the decimals they spell and never pass through a float.
//
// # The LiteLLM list
//
// Document and Report account for every entry: it became a price, or the Report
// lists it with the reason; and for every price field of an entry: it has a part
// in a price, or the Report says why not. Nothing is dropped silently, because
// what is dropped is usage that nobody pays for.
//
// A field is a component: input, cached_input (read from a cache), cache_write,
// cache_write_1h, output, reasoning, audio_input, image_input and so on by the
// token; input_images, images (made), pixels, seconds, audio_seconds,
// video_seconds, characters, output_characters, pages, queries, web_search_low,
// web_search_medium, web_search_high, file_search, code_interpreter and so on by
// their own unit. Where the same usage has a price by the token and one by
// another unit, that by the token is imported.
//
//   - A price above some size of the prompt (…_above_200k_tokens, the ranges of
//     tiered_pricing) is an "above" of all components that go into the prompt.
//   - A price of batches or of a service tier (…_batches, …_priority, …_flex) is
//     a second price that matches {model, service_tier}. It has every component of
//     the standard price: what the list does not state for the tier, also above
//     some size, costs what it costs anywhere.
//   - A fee per request is the flat fee of input, or of a component call where
//     there is no price for input.
//   - What vendors bill although the list has no field for it is derived:
//     reasoning costs what output does; where there is no price for cached_input
//     it is input; image_input, audio_input and video_input that the model takes,
//     tool_input of Google's models, image_output and audio_output that it makes
//     are input and output, unless they have a price of their own in any unit;
//     a web_search of unknown size is web_search_medium. The writing of a cache
//     is not derived: vendors charge more than input for it.
//
// The list's model names are kept as they are, also where they name a size or
// a quality ("hd/1024-x-1024/dall-e-3"): that is how gateways name them.
//
// # Tables in CSV
//
// The first row names the columns, in any order; Columns explains each. A row
// prices one component; the rows with the same meter, currency and match.
// columns make one price, of which payee and fee may stand in any row; a fee
// needs a payee. A component has one row, or one for each tier, or one and
// further ones with above and of; their order is free, and of names components
// that the same price has. For instance:
//
//	meter,currency,match.model,component,unit,per,above,of,tiers,up_to
//	llm.tokens,USD,acme-1,input,2.50,1000000,,,,
//	llm.tokens,USD,acme-1,input,5.00,1000000,200000,input cached_input,,
//	llm.tokens,USD,acme-1,cached_input,0.25,1000000,,,,
//	api.calls,USD,,call,0,,,,graduated,1000
//	api.calls,USD,,call,0.0004,,,,graduated,
//
// Cells are separated by commas, decimals have a point, space around a cell does
// not count. A table with a problem is not imported at all; a *TableError has
// every problem with its row and column. Write small prices with per: spreadsheets
// round 0.0000025 when they show it, and save what they show.
//
// The package reads and writes no file and talks to no server.
package prices
