-- Let the root group of a user be another one's, besides the own one; return its id, or nil.
-- KEYS: users
-- ARGS: old new

local group = redis.call('HGET', users_key, old)
if not group then return nil end
redis.call('HDEL', users_key, old)
redis.call('HSET', users_key, group, new)
return group
