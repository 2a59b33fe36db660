"""How fast the studio is. Figures to read, beside the idle baseline; no test asserts them."""
