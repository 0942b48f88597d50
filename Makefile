.PHONY: help demo test test-fast test-services test-clusters lint chaos bench docs
help:
	@python3 run.py help
demo test test-fast test-services test-clusters lint chaos bench docs:
	@python3 run.py $@
