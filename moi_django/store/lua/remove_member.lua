-- Take a job or group out of a group, whatever there is of that, without removing it.
-- KEYS: members order
-- ARGS: id channel message
--
-- Returns 1 when that changed something, else 0.

local changed = redis.call('SREM', members_key, id)
redis.call('ZREM', order_key, id)
if changed == 1 then redis.call('PUBLISH', channel, message) end
return changed
