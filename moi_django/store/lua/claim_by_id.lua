-- Hand a certain attempt to a worker, if it waits, and mark its job as running.
-- KEYS: jobs
-- ARGS: member worker date prefix lifetime
-- USES: lifetimes indices queue events attempts
--
-- No turns, limits and pauses are looked at: a job that runs waits for it. Returns {info object,
-- payload, checkpoint}, or nil when it neither waits nor runs there already, as when an answer got lost.

local queue, owner, limit = lane_of(member)
if not queue or not take_out(member, queue, owner, limit) then return claimed_before(member) end
return begin_attempt(member, queue, owner, limit)
