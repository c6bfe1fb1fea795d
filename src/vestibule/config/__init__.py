"""The configuration: HCL to a tree with places, to values, to the tables the program runs on."""
