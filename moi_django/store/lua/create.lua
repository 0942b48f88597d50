-- Write a new job or group, put it in its group, and let it wait if it has a payload.
-- KEYS: info users seal payload waiting jobs owner_jobs ended ancestors...
-- ARGS: json lifetime id channel message state member payload created prefix ran waited
-- USES: indices
--
-- `ancestors` are four keys for each group above, the nearest first: its info object, its members,
-- its totals and its order. `seal` is that of the nearest. `state` is empty for a group; `ran` is
-- empty unless the job has ended. Returns the time, "taken" when the id is, or "gone" when its group
-- is not there or about to go.

local parent_key = ancestors_keys[1]
if redis.call('EXISTS', info_key) == 1 then return 'taken' end
if parent_key and (redis.call('EXISTS', parent_key) == 0 or redis.call('EXISTS', seal_key) == 1) then
  return 'gone'
end
local now = server_time()
redis.call('SET', info_key, json, 'EX', lifetime)
redis.call('EXPIRE', users_key, lifetime)
if payload ~= '' then
  redis.call('SET', payload_key, payload, 'EX', lifetime)
  redis.call('ZADD', waiting_key, now, member)
  redis.call('EXPIRE', waiting_key, lifetime)
end
if parent_key then
  redis.call('SADD', ancestors_keys[2], id)
  redis.call('ZADD', ancestors_keys[4], created, id)
end
for i = 1, #ancestors_keys, 4 do
  if state ~= '' then redis.call('HINCRBY', ancestors_keys[i + 2], state, 1) end
  for j = i, i + 3 do redis.call('EXPIRE', ancestors_keys[j], lifetime) end
end
if state ~= '' then
  drop_expired(jobs_key, owner_jobs_key, prefix)
  add_to_indices(jobs_key, owner_jobs_key, id, created, state, state, lifetime)
  if ran ~= '' then count_ended(ended_key, state, ran, waited) end
  redis.call('PUBLISH', jobs_key, '')
end
if parent_key then redis.call('PUBLISH', channel, message) end
return string.format('%.17g', now)
