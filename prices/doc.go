// Package prices converts public price lists into price book versions.
//
// ImportLiteLLM reads the list that the LiteLLM community keeps and returns a
// Document, the body of PUT /v1/prices/{version}, and a Report. The two account
// for every entry: it became a price, or the Report lists it with the reason;
// and for every price field of an entry: it became a component, or the Report
// lists it. Nothing is dropped silently, because what is dropped is usage that
// nobody pays for.
//
// Numbers are read as the decimals they spell and never pass through a float.
// The result depends on the input alone: same list, same bytes.
//
// The package reads and writes no file and talks to no server. It only writes
// flat prices; a price that depends on the size of a request is reported, not
// approximated.
package prices
