-- Drop an attempt of a job that is gone or has gone on from all in which it waits or runs.
-- ARGS: member prefix lifetime
-- USES: lifetimes queue

leave_queue(member)
