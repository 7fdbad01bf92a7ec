package main

type pricesCmd struct {
	Import    pricesImportCmd    `cmd:"" help:"Convert a price list or a table into a price book version."`
	Catalogue pricesCatalogueCmd `cmd:"" help:"Print the list prices that come with the program as a price book version."`
}
