"""One file per command; each calls one function."""
