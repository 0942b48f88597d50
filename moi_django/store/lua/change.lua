-- Replace the info object of a job or group by what its writer has made of it.
-- KEYS: info users payload log display files checkpoint jobs owner_jobs ended
--       durations unique ancestors...
-- ARGS: old_json new_json lifetime prefix channel message old_state new_state old_member new_member
--       queue owner limit priority move_to seconds max_payload id created used ran waited told_json
--       says_more
-- USES: lifetimes indices queue edges events
--
-- The states are as what a job counts in the totals above it; empty for a group. `move_to` says in
-- which zset a job belongs from now on: "waiting", "delayed" for some `seconds`, "running", "none"
-- for none of them, or empty to leave that as it is; the one before has run for `used` seconds. A
-- payload longer than `max_payload` is dropped, unless that is empty. `ran` is empty unless this is
-- the end of a job. `told_json` is told of it, or `new_json` if that is empty; `says_more` is not
-- empty if the status text is another. Returns 1, or 2 if there are jobs that wait for this end; or
-- what the key holds when that is not `old_json`: its JSON, or nil.

-- What is told of the change; nil when nothing is, as of progress.
local function event_of_change()
  local is_moved = old_state ~= new_state or old_member ~= new_member
  if new_state == '' then return nil end
  if ran ~= '' then return 'finished' end
  if new_state == RUNNING and is_moved then return 'started' end
  return (is_moved or says_more ~= '') and 'changed' or nil
end

local present = redis.call('GET', info_key)
if present ~= old_json then return present end
-- What runs instead of it is not created either.
if new_state == RETRIED and unfinished_of(unique_key, jobs_key, prefix) then return present end
redis.call('SET', info_key, new_json, 'EX', lifetime)
local kind = event_of_change()
if kind then note_event(kind, id, told_json == '' and new_json or told_json) end
for _, key in ipairs({users_key, payload_key, log_key, display_key, files_key, checkpoint_key}) do
  redis.call('EXPIRE', key, lifetime)
end
if max_payload ~= '' and redis.call('STRLEN', payload_key) > tonumber(max_payload) then
  redis.call('DEL', payload_key)
end
if new_state == SUCCESS then redis.call('DEL', checkpoint_key) end
if move_to ~= '' then
  count_usage(prefix, leave_queue(old_member, used))
  if move_to == 'waiting' then
    enqueue(queue, new_member, owner, limit, priority)
    wake_one(queue)
  elseif move_to == 'delayed' then
    delay_attempt(new_member, seconds, prefix, lifetime)
  elseif move_to == 'running' then
    redis.call('ZADD', prefix .. 'running', 0, new_member)
    renewed(prefix .. 'running')
  end
end
if new_state ~= '' then
  -- One that was retried stays in the index of its state.
  if new_state ~= RETRIED then
    add_to_indices(jobs_key, owner_jobs_key, id, created, old_state, new_state, lifetime)
  end
  if ran ~= '' then count_ended(ended_key, new_state, ran, waited) end
  if ran ~= '' and new_state == SUCCESS then
    redis.call('LPUSH', durations_key, ran)
    redis.call('LTRIM', durations_key, 0, 99)
    redis.call('EXPIRE', durations_key, STATISTICS_LIFETIME)
  end
  redis.call('PUBLISH', jobs_key, '')
end
for i = 1, #ancestors_keys, 4 do
  if old_state ~= new_state then
    count_in(ancestors_keys[i + 2], old_state, -1)
    count_in(ancestors_keys[i + 2], new_state, 1)
  end
end
renew_ancestors(ancestors_keys, lifetime)
redis.call('PUBLISH', channel, message)
if ran ~= '' then
  note_ended(id)
  note_ended_groups(ancestors_keys)
end
return is_awaited and 2 or 1
