-- Let a delayed attempt wait, unless another has done so.
-- KEYS: delayed waiting sequence lingering wake
-- ARGS: member lifetime
-- USES: queue
--
-- Returns 1 when that was done, else 0.

if redis.call('ZREM', delayed_key, member) == 0 then return 0 end
enqueue(member)
wake_one()
return 1
