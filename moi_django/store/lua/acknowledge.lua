-- Note that a consumer has dealt with some events; drop those that all consumers have dealt with.
-- KEYS: events
-- ARGS: consumer ids...
--
-- Returns how many events are left.

local function parts_of(id)
  local milliseconds, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(milliseconds), tonumber(number)
end

local function is_before(one, other)
  local one_time, one_number = parts_of(one)
  local other_time, other_number = parts_of(other)
  return one_time < other_time or one_time == other_time and one_number < other_number
end

-- The first event that a consumer may still have to deal with.
local function first_left(name, last_delivered)
  local first_pending = redis.call('XPENDING', events_key, name)[2]
  if first_pending then return first_pending end
  local milliseconds, number = string.match(last_delivered, '^(%d+)-(%d+)$')
  return milliseconds .. '-' .. string.format('%.0f', tonumber(number) + 1)
end

redis.call('XACK', events_key, consumer, unpack(ids))
local first = nil
for _, group in ipairs(redis.call('XINFO', 'GROUPS', events_key)) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  local left = first_left(facts['name'], facts['last-delivered-id'])
  if not first or is_before(left, first) then first = left end
end
if first then redis.call('XTRIM', events_key, 'MINID', first) end
return redis.call('XLEN', events_key)
