// Package catalogue holds list prices of widely used models, so that a new
// operator has prices on the first run.
//
// The prices stand in vendors/*.yaml, one file a vendor, kept by hand: the
// decimals as the vendor states them, in its currency, per million tokens
// ("web_search": per thousand calls). Every model names the vendor's page, the
// day on which it was read and what was read ([Origin]): a stored copy of the
// page itself, or a public list that names the page. Nothing is guessed: what
// could not be read is not in the catalogue. List prices change; a catalogue is
// a start, not a contract with a vendor.
//
// [Open] reads the files, [Catalogue.Document] writes a price version: the body
// of PUT /v1/prices/{version}, the same bytes for the same moment. An event
// names its model as the dimension "model", exactly as one of [Model.Names],
// and its service tier, if not the standard one, as "service_tier": "batch",
// "flex", "priority" (sold as "fast", too) or "off_peak".
//
// A price must have every component that ordinary usage of the model has, or
// the event stays unpriced. So, where the vendor states no price of their own:
//
//   - reasoning costs what output costs;
//   - cached_input costs what input costs, and so does cache_write;
//   - other input (images, the results of tools) costs what the vendor's file
//     says under same_as;
//   - in a tier, everything costs what it costs at the standard tier.
//
// A vendor may announce a price from a day on. It stands under changes, and a
// document that comes into force on that day or later has it; [Catalogue.Changes]
// lists the days.
//
// A name stands for one price, so a model that several vendors sell under one
// name is in the catalogue once. Fees by the month, the minute, the image or
// the hour of storage, regional surcharges and free allowances are not in it.
//
// The package starts nothing, opens no file outside its own, and reads no
// clock.
package catalogue
