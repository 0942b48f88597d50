.PHONY: help demo test lint
help:
	@python3 run.py help
demo test lint:
	@python3 run.py $@
