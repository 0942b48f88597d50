-- Let a process be the one that reads the events for a consumer, for some time from now on.
-- KEYS: events
-- ARGS: consumer holder milliseconds prefix lifetime
--
-- Returns 1, or 0 when another process is. With no time left it is the reader no more.

local reader = prefix .. 'events-reader:' .. consumer
local present = redis.call('GET', reader)
if present and present ~= holder then return 0 end
if milliseconds == '0' then return redis.call('DEL', reader) end
redis.call('SET', reader, holder, 'PX', milliseconds)
redis.call('EXPIRE', events_key, lifetime)
return 1
