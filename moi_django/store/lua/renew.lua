-- Renew the lease of an attempt, and the keys of its job and of the groups above.
-- KEYS: running info payload log display files ancestors...
-- ARGS: member lease lifetime
-- USES: indices
--
-- Returns 1, or 0 when this attempt is not wanted any more.

if not redis.call('ZSCORE', running_key, member) then return 0 end
redis.call('ZADD', running_key, server_time() + lease, member)
for _, key in ipairs({running_key, info_key, payload_key, log_key, display_key, files_key}) do
  redis.call('EXPIRE', key, lifetime)
end
for _, key in ipairs(ancestors_keys) do redis.call('EXPIRE', key, lifetime) end
return 1
