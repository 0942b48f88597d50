.PHONY: help demo test lint chaos
help:
	@python3 run.py help
demo test lint chaos:
	@python3 run.py $@
