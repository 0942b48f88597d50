-- Hand a certain attempt to a worker, if it waits, and mark its job as running.
-- KEYS: waiting running jobs
-- ARGS: member worker date prefix lifetime
-- USES: indices attempts
--
-- Returns {info object, payload, checkpoint}, or nil when it neither waits there nor runs there already, as
-- when an answer got lost.

if redis.call('ZREM', waiting_key, member) == 0 then return claimed_before(member) end
return begin_attempt(member)
