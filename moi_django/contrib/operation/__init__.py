"""What an operator does with contexts, engines and waiting jobs, in a shell and in the panel."""
