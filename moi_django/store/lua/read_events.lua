-- Hand the next events to who reads them for a consumer: new ones from the place ">", those that were
-- handed out and not acknowledged from "0".
-- KEYS: events
-- ARGS: consumer holder place count prefix
--
-- Returns a list of {id, fields}, the fields nil where the event was dropped meanwhile; or nil when
-- another process reads for this consumer by now, so that two never do by turns.

if redis.call('GET', prefix .. 'events-reader:' .. consumer) ~= holder then return nil end
local found = redis.call(
  'XREADGROUP', 'GROUP', consumer, 'reader', 'COUNT', count, 'STREAMS', events_key, place
)
return found and found[1] and found[1][2] or {}
