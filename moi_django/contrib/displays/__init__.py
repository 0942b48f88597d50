"""How results look that have forms of their own, as in notebooks."""
