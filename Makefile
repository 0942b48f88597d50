.PHONY: help demo test test-fast lint chaos bench
help:
	@python3 run.py help
demo test test-fast lint chaos bench:
	@python3 run.py $@
