-- Write a new job or group, put it in its group, and let it wait if it has a payload.
-- KEYS: info instead_of users seal payload checkpoint old_checkpoint queues workers jobs owner_jobs
--       ended unique ancestors...
-- ARGS: json instead_json lifetime id channel message state member queue owner limit priority payload
--       created prefix ran waited engines call delay is_unique told_json
--       begins_events parents...
-- USES: lifetimes indices queue edges events
--
-- `ancestors` are four keys for each group above, the nearest first: its info object, its members,
-- its totals and its order. `seal` is that of the nearest. `state` is empty for a group; `ran` is
-- empty unless the job has ended. Returns "taken" when the id is, "gone" when its group is not there
-- or about to go, "call" when a worker is to be called, of so many `engines` that there are for
-- this queue, "settle" when one of its `parents` has ended, for which it waits, and else "done". It
-- waits only in `delay` seconds, unless that is empty. Unless `instead_json` is empty, the job is one
-- that runs instead of another, and that one's info object has to be this by now; else "changed" is
-- returned. Its checkpoint goes over to the new one.
-- `told_json` is told of a job, or `json` if that is empty; `begins_events` is not empty where somebody
-- is to hear of it.
-- A list is returned with the id of an unfinished job that has the same unique key, if there is one.

local parent_key = ancestors_keys[1]
if redis.call('EXISTS', info_key) == 1 then return 'taken' end
local other = is_unique ~= '' and unfinished_of(unique_key, jobs_key, prefix)
if other then return {other} end
if instead_json ~= '' and redis.call('GET', instead_of_key) ~= instead_json then return 'changed' end
if parent_key and (redis.call('EXISTS', parent_key) == 0 or redis.call('EXISTS', seal_key) == 1) then
  return 'gone'
end
redis.call('SET', info_key, json, 'EX', lifetime)
if is_unique ~= '' then redis.call('SET', unique_key, id, 'EX', lifetime) end
redis.call('EXPIRE', users_key, lifetime)
if parent_key then
  redis.call('SADD', ancestors_keys[2], id)
  redis.call('ZADD', ancestors_keys[4], created, id)
  -- These two are new again where all was removed.
  renew_together({ancestors_keys[4], ancestors_keys[2]}, lifetime)
end
for i = 1, #ancestors_keys, 4 do
  if state ~= '' then count_in(ancestors_keys[i + 2], state, 1) end
end
renew_ancestors(ancestors_keys, lifetime)
if state ~= '' then
  drop_expired(jobs_key, owner_jobs_key, prefix)
  add_to_indices(jobs_key, owner_jobs_key, id, created, state, state, lifetime)
  local told = told_json == '' and json or told_json
  note_event('submitted', id, told, begins_events ~= '')
  if ran ~= '' then
    count_ended(ended_key, state, ran, waited)
    note_event('finished', id, told)
  end
  redis.call('PUBLISH', jobs_key, '')
end
if parent_key then redis.call('PUBLISH', channel, message) end
if payload == '' then return 'done' end
redis.call('SET', payload_key, payload, 'EX', lifetime)
if instead_json ~= '' and redis.call('EXISTS', old_checkpoint_key) == 1 then
  redis.call('RENAME', old_checkpoint_key, checkpoint_key)
  redis.call('EXPIRE', checkpoint_key, lifetime)
end
redis.call('SADD', queues_key, queue)
redis.call('EXPIRE', queues_key, lifetime)
if parents[1] then
  block(id, member, parents, created)
  return is_awaited and 'settle' or 'done'
end
if delay ~= '' then
  delay_attempt(member, delay, prefix, lifetime)
  return 'done'
end
enqueue(queue, member, owner, limit, priority)
if engines == '0' and not is_lingered_at(queue) then return 'done' end
if wake_one(queue) or redis.call('ZCARD', workers_key) >= tonumber(engines) then return 'done' end
redis.call('ZADD', workers_key, 0, call)
redis.call('EXPIRE', workers_key, lifetime)
return 'call'
