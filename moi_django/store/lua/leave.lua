-- Let a worker leave its queue, or forget one that is gone or a call that nobody has followed.
-- KEYS: waiting workers lingering claims
-- ARGS: worker
--
-- Returns how many attempts wait.

redis.call('ZREM', workers_key, worker)
redis.call('SREM', lingering_key, worker)
redis.call('HDEL', claims_key, worker)
return redis.call('ZCARD', waiting_key)
