-- Remove a job, or a group in which nothing is left, and take it out of its group.
-- KEYS: info members totals seal order payload log display files checkpoint jobs
--       owner_jobs ancestors...
-- ARGS: old_json id channel parent_channel message counted_as member state ran prefix lifetime
--       told_json
-- USES: lifetimes indices queue edges events
--
-- `ancestors` as in create.lua. `counted_as` and `state` are empty for a group, `parent_channel` for
-- a root. `told_json` is what is told of the end of a job that had none; else empty. Returns 1, or 2 if there are jobs that wait for its end; 0 when members are left in it, or
-- what the key holds when that is not `old_json`.

local present = redis.call('GET', info_key)
if present ~= old_json then return present end
if redis.call('SCARD', members_key) > 0 then return 0 end
redis.call('DEL', info_key, members_key, totals_key, seal_key, order_key)
redis.call('DEL', payload_key, log_key, display_key, files_key, checkpoint_key)
count_usage(prefix, leave_queue(member, ran))
if told_json ~= '' then note_event('finished', id, told_json) end
if counted_as ~= '' then
  remove_from_indices(jobs_key, owner_jobs_key, id, state)
  redis.call('PUBLISH', jobs_key, '')
end
if ancestors_keys[1] then
  redis.call('SREM', ancestors_keys[2], id)
  redis.call('ZREM', ancestors_keys[4], id)
end
if counted_as ~= '' then
  for i = 1, #ancestors_keys, 4 do count_in(ancestors_keys[i + 2], counted_as, -1) end
end
redis.call('PUBLISH', channel, message)
if parent_channel ~= '' then redis.call('PUBLISH', parent_channel, message) end
redis.call('DEL', prefix .. id .. ':waits')
note_ended(id)
if counted_as ~= '' then note_ended_groups(ancestors_keys) end
return is_awaited and 2 or 1
