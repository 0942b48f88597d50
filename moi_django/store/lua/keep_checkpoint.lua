-- Keep what an attempt at a job leaves to those after it.
-- KEYS: info checkpoint
-- ARGS: attempt json lifetime
--
-- One that was cancelled or is taken for lost may still do so, as the job may be retried. Returns 1,
-- or 0 when the job is gone, has succeeded or was retried, or another attempt follows.

local is_read, info = pcall(cjson.decode, redis.call('GET', info_key) or '')
if not is_read or type(info) ~= 'table' or info.attempt ~= tonumber(attempt) then return 0 end
if info.state == SUCCESS or info.retried ~= cjson.null then return 0 end
redis.call('SET', checkpoint_key, json, 'EX', lifetime)
return 1
