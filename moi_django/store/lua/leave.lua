-- Let a worker leave its queue, or forget one that is gone or a call that nobody has followed.
-- KEYS: workers lingering claims
-- ARGS: worker queue prefix lifetime
-- USES: lifetimes queue
--
-- Returns how many attempts could be claimed.

redis.call('ZREM', workers_key, worker)
redis.call('SREM', lingering_key, worker)
redis.call('HDEL', claims_key, worker)
return claimable(queue)
