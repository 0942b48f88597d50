"""What runs on an engine. It needs no Django, and uses it where an engine has it."""
