"""What pages show before their script runs: the status div, the pages of a job and of a group."""
