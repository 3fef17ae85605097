"""The intermediate representation and its tools."""
