-- Renew the lease of an attempt, and the keys of its job and of the groups above.
-- KEYS: running info payload log display files checkpoint unique ancestors...
-- ARGS: member lifetime
--
-- A lease is a number that grows: who sees it stand still knows, by a clock of its own, for how long.
-- Returns 1, or 0 when this attempt is not wanted any more.

if not redis.call('ZSCORE', running_key, member) then return 0 end
-- First what a full Redis does not refuse: then it refuses nothing of this script, and a lease is
-- renewed all the same.
redis.call('EXPIRE', running_key, lifetime)
redis.call('ZINCRBY', running_key, 1, member)
local own = {info_key, payload_key, log_key, display_key, files_key, checkpoint_key, unique_key}
for _, key in ipairs(own) do
  redis.call('EXPIRE', key, lifetime)
end
for _, key in ipairs(ancestors_keys) do redis.call('EXPIRE', key, lifetime) end
return 1
