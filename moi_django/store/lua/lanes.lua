-- Return how a queue stands: "0" if its owners take no turns, and for each lane {owner, limit, what
-- holds it, engine time that its owner has used, how many more may run of its limit, and of its owner,
-- members and their scores}; and how long jobs of its context took lately.
-- KEYS: durations
-- ARGS: queue count prefix lifetime
-- USES: lifetimes queue
--
-- About `count` attempts are given, the first ones of each lane. A number of -1 is any number.

local function room_or_any(slot)
  local number = room(slot)
  return number == math.huge and -1 or number
end

local lanes = {}
local number = redis.call('SCARD', prefix .. 'held:' .. queue)
for _, limit in ipairs(limits_of(queue)) do
  number = number + redis.call('ZCARD', turns_key(queue, limit))
end
local last = math.max(20, math.ceil(count / math.max(1, number))) - 1
for _, limit in ipairs(limits_of(queue)) do
  local owners = redis.call('ZRANGE', turns_key(queue, limit), 0, -1)
  for _, lane in ipairs(redis.call('SMEMBERS', prefix .. 'held:' .. queue)) do
    local owner, needed = string.match(lane, '^([^:]*):(.*)$')
    if needed == limit then owners[#owners + 1] = owner end
  end
  for _, owner in ipairs(owners) do
    local members = redis.call('ZRANGE', lane_key(queue, owner, limit), 0, last, 'WITHSCORES')
    local used = exact(used_by(queue, owner))
    lanes[#lanes + 1] = {
      owner, limit, hold_of(queue, owner, limit), used, room_or_any('limit:' .. limit),
      room_or_any(owner_slot(queue, owner)), members
    }
  end
end
return {policy('fair') or '', lanes, redis.call('LRANGE', durations_key, 0, -1)}
