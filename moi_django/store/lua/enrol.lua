-- Return the id of a user's root group and its info object; one that the user has not yet is made.
-- KEYS: users
-- ARGS: user new_id new_json lifetime prefix
--
-- The info object is nil when the group has expired.

local group = redis.call('HGET', users_key, user)
if not group then
  group = new_id
  redis.call('HSET', users_key, user, group, group, user)
  redis.call('SET', prefix .. group, new_json, 'EX', lifetime)
end
redis.call('EXPIRE', users_key, lifetime)
return {group, redis.call('GET', prefix .. group)}
