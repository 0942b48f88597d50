-- Let a delayed attempt wait, unless another has done so.
-- KEYS: delayed
-- ARGS: member queue owner limit priority prefix lifetime
-- USES: lifetimes queue
--
-- Returns 1 when that was done, else 0.

if redis.call('ZREM', delayed_key, member) == 0 then return 0 end
enqueue(queue, member, owner, limit, priority)
wake_one(queue)
return 1
