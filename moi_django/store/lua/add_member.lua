-- Let a job or group appear in a group that is not its parent.
-- KEYS: members info seal order
-- ARGS: id channel message lifetime created
--
-- The keys are those of the group. Returns 1 when that changed something, 0 when not, -1 when there
-- is no such group or it is about to go.

if redis.call('EXISTS', info_key) == 0 or redis.call('EXISTS', seal_key) == 1 then return -1 end
local changed = redis.call('SADD', members_key, id)
redis.call('ZADD', order_key, created, id)
redis.call('EXPIRE', members_key, lifetime)
redis.call('EXPIRE', order_key, lifetime)
if changed == 1 then redis.call('PUBLISH', channel, message) end
return changed
