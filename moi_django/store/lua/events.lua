-- The stream of what becomes of jobs. An entry is written only while there is the stream, which begins
-- with a job of a site that hears of events. Scripts that use this take `prefix` and `lifetime`.

local function note_event(kind, id, json, begins)
  local key = prefix .. 'events'
  local entry = {'MAXLEN', '~', MAX_EVENTS, '*', 'kind', kind, 'id', id, 'info', json}
  if not begins then table.insert(entry, 1, 'NOMKSTREAM') end
  -- Of another type it is none of ours.
  redis.pcall('XADD', key, unpack(entry))
  if begins then redis.call('EXPIRE', key, lifetime) end
end
