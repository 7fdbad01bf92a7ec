package main

type pricesCmd struct {
	Import    pricesImportCmd    `cmd:"" help:"Convert a price list or a table into a price book version."`
	Catalogue pricesCatalogueCmd `cmd:"" help:"Print the list prices that come with the program as a price book version."`
	Put       pricesPutCmd       `cmd:"" help:"Put a price book version into a running ledger."`
	Simulate  pricesSimulateCmd  `cmd:"" help:"Show what past events would come to under a version."`
	Rerate    pricesRerateCmd    `cmd:"" help:"Post the difference that a version makes for past events, once confirmed."`
}
