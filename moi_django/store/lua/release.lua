-- Let a job wait for one of its parents no more; if that was the last one, let it wait in its queue.
-- ARGS: id parent member queue owner limit priority delay prefix lifetime
-- USES: lifetimes indices queue
--
-- It waits there only in `delay` seconds, unless that is empty.

redis.call('SREM', prefix .. id .. ':waits', parent)
if redis.call('SCARD', prefix .. id .. ':waits') > 0 then return 0 end
if redis.call('ZREM', prefix .. 'blocked', member) == 0 then return 0 end
if delay ~= '' then
  delay_attempt(member, delay, prefix, lifetime)
else
  enqueue(queue, member, owner, limit, priority)
  wake_one(queue)
end
return 1
