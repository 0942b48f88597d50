-- Return the id of a user's root group, which is a given one when the user has none yet.
-- KEYS: users
-- ARGS: user new_id lifetime

local group = redis.call('HGET', users_key, user)
if not group then
  group = new_id
  redis.call('HSET', users_key, user, group, group, user)
end
redis.call('EXPIRE', users_key, lifetime)
return group
