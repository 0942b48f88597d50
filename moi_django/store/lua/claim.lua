-- Take an attempt out of a zset in order to send it, and let it wait.
-- KEYS: source waiting
-- ARGS: member score lifetime
-- USES: indices
--
-- `score` is what was read. Returns the time, which is its new score, or nil when it has another
-- score by now.

local present = redis.call('ZSCORE', source_key, member)
if not present or tonumber(present) ~= tonumber(score) then return nil end
local now = server_time()
redis.call('ZREM', source_key, member)
redis.call('ZADD', waiting_key, now, member)
redis.call('EXPIRE', waiting_key, lifetime)
return string.format('%.17g', now)
