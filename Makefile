.PHONY: help demo test test-fast lint chaos
help:
	@python3 run.py help
demo test test-fast lint chaos:
	@python3 run.py $@
