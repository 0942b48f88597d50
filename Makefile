.PHONY: help demo test test-fast lint chaos bench docs
help:
	@python3 run.py help
demo test test-fast lint chaos bench docs:
	@python3 run.py $@
