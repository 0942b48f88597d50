-- The queues: where an attempt waits and runs, and whose turn is next.
--
-- Those of one owner that need the same limit wait in one lane, the highest priority first, then the
-- oldest. Lanes of one limit stand in its turns, by the level of their first attempt, then by the
-- engine time that their owner has used: so a claim looks at one lane for each limit, however many
-- there are. An owner who runs as many as are allowed is held: the lane stands in no turns until one
-- of them ends. Scripts that use this take `prefix` and `lifetime`.

-- A level is a priority, reversed; below it is room for a place, or for milliseconds.
local LEVEL = 2 ^ 44

-- A whole number as text; what is rounded up to nothing gives "-0", which is none to Redis.
local function exact(number)
  local text = string.format('%.0f', number)
  return text == '-0' and '0' or text
end

local function context_of(queue) return string.match(queue, '^(.*):') end

local function lane_key(queue, owner, limit)
  return prefix .. 'lane:' .. queue .. ':' .. owner .. ':' .. limit
end

local function turns_key(queue, limit) return prefix .. 'turns:' .. queue .. ':' .. limit end

-- Most sites have none.
local has_policy = redis.call('EXISTS', prefix .. 'policy') == 1
local known_policy = {}

local function policy(field)
  if known_policy[field] == nil then
    known_policy[field] = has_policy and redis.call('HGET', prefix .. 'policy', field)
  end
  return known_policy[field]
end

-- Keep a key as long as jobs, and return it.
local function renewed(key)
  redis.call('EXPIRE', key, lifetime)
  return key
end

-- How many more may run at once that need a slot.
local function room(slot)
  if not has_policy or slot == 'limit:' then return math.huge end
  local limit = tonumber(policy(slot) or string.match(slot, '^owner:') and policy('owner') or '')
  return limit and limit - redis.call('SCARD', prefix .. 'slots:' .. slot) or math.huge
end

local function owner_slot(queue, owner) return 'owner:' .. context_of(queue) .. ':' .. owner end

local function used_key(queue) return prefix .. 'used:' .. context_of(queue) end

-- As this script has read or written it last; all queues of a script have one context.
local known_used = {}

local function used_by(queue, owner)
  if known_used[owner] == nil then
    known_used[owner] = tonumber(redis.call('HGET', used_key(queue), owner) or '') or false
  end
  return known_used[owner] or 0
end

local function note_used(queue, owner, used)
  if used ~= known_used[owner] then redis.call('HSET', used_key(queue), owner, exact(used)) end
  known_used[owner] = used
end

-- Let a lane stand in its turns as is due now.
local function place_lane(queue, owner, limit)
  local turns, held = turns_key(queue, limit), prefix .. 'held:' .. queue
  local first = redis.call('ZRANGE', lane_key(queue, owner, limit), 0, 0, 'WITHSCORES')
  if not first[1] or room(owner_slot(queue, owner)) <= 0 then
    redis.call('ZREM', turns, owner)
    redis.call(first[1] and 'SADD' or 'SREM', held, owner .. ':' .. limit)
    if first[1] then renewed(held) end
    return
  end
  redis.call('SREM', held, owner .. ':' .. limit)
  local level = math.floor(first[2] / LEVEL)
  -- What operators prefer, see prefer.lua, comes before all priorities and in no turns.
  local is_in_turns = policy('fair') ~= '0' and level >= -100
  local rank = is_in_turns and used_by(queue, owner) or first[2] - level * LEVEL
  redis.call('ZADD', turns, exact(level * LEVEL + rank), owner)
  renewed(turns)
end

local known_limits = {}

-- The limits that what waits in a queue needs.
local function limits_of(queue)
  known_limits[queue] = known_limits[queue] or redis.call('HKEYS', prefix .. 'limits:' .. queue)
  return known_limits[queue]
end

-- Note that more or fewer wait that need a limit.
local function count_waiting(queue, limit, number)
  local limits = prefix .. 'limits:' .. queue
  local count = redis.call('HINCRBY', limits, limit, number)
  if count <= 0 then redis.call('HDEL', limits, limit) end
  if count <= 1 then known_limits[queue] = nil end
end

-- Let all lanes of an owner stand in their turns as is due now; also that of a limit, if one is
-- given, that nothing needs any more.
local function place_owner(queue, owner, limit)
  local is_placed = limit == nil
  for _, other in ipairs(limits_of(queue)) do
    place_lane(queue, owner, other)
    is_placed = is_placed or other == limit
  end
  if not is_placed then place_lane(queue, owner, limit) end
end

local function is_present(queue, owner)
  local keys = {prefix .. 'slots:' .. owner_slot(queue, owner)}
  for _, limit in ipairs(limits_of(queue)) do keys[#keys + 1] = lane_key(queue, owner, limit) end
  return redis.call('EXISTS', unpack(keys)) > 0
end

-- Who was away does not come with an advantage, nor before those who came earlier: what all have used
-- who are served at a level is its floor, which each arrival raises a little.
local function arrive(queue, owner, level)
  local floor = 'floor:' .. exact(level)
  local present = used_by(queue, floor)
  if used_by(queue, owner) <= present then
    note_used(queue, owner, present)
    note_used(queue, floor, present + 1)
  end
end

local function enqueue(queue, member, owner, limit, priority)
  local place = redis.call('INCR', prefix .. 'sequence')
  -- Not -priority, which may be -0.
  local lane, level = lane_key(queue, owner, limit), 0 - priority
  if not is_present(queue, owner) then arrive(queue, owner, level) end
  redis.call('ZADD', prefix .. 'waiting:' .. queue, place, member)
  redis.call('ZADD', lane, exact(level * LEVEL + place), member)
  count_waiting(queue, limit, 1)
  redis.call('HSET', prefix .. 'lanes', member, queue .. '\n' .. owner .. ':' .. limit)
  renew_together({
    prefix .. 'waiting:' .. queue, prefix .. 'limits:' .. queue, prefix .. 'lanes',
    prefix .. 'sequence', used_key(queue)
  }, lifetime)
  renewed(lane)
  place_lane(queue, owner, limit)
end

-- Return the queue, the owner and the limit of an attempt that waits or runs.
local function lane_of(member)
  local lane = redis.call('HGET', prefix .. 'lanes', member)
  return string.match(lane or '', '^(.*)\n([^:]*):(.*)$')
end

-- Take an attempt out of its lane, if it waits there; tell whether it did. Its lane stays noted.
local function take_out(member, queue, owner, limit)
  if redis.call('ZREM', prefix .. 'waiting:' .. queue, member) == 0 then return false end
  redis.call('ZREM', lane_key(queue, owner, limit), member)
  count_waiting(queue, limit, -1)
  return true
end

local function charge(queue, owner, milliseconds)
  known_used[owner] = redis.call('HINCRBY', used_key(queue), owner, exact(milliseconds))
  renewed(used_key(queue))
end

-- Note that an attempt runs, which was taken out of this lane.
local function occupy(member, queue, owner, limit)
  for _, slot in ipairs({owner_slot(queue, owner), limit ~= '' and 'limit:' .. limit or nil}) do
    redis.call('SADD', prefix .. 'slots:' .. slot, member)
    renewed(prefix .. 'slots:' .. slot)
  end
  charge(queue, owner, USED_GUESS)
  place_owner(queue, owner, limit)
end

-- Take an attempt out of all in which it waits or runs; it may have run for some seconds. Returns
-- whose it is and those seconds if it has run.
local function leave_queue(member, seconds)
  for _, name in ipairs({'blocked', 'delayed', 'running'}) do
    redis.call('ZREM', prefix .. name, member)
  end
  local queue, owner, limit = lane_of(member)
  if not queue then return end
  redis.call('HDEL', prefix .. 'lanes', member)
  if take_out(member, queue, owner, limit) then
    place_lane(queue, owner, limit)
    return
  end
  redis.call('SREM', prefix .. 'slots:' .. owner_slot(queue, owner), member)
  if limit ~= '' then redis.call('SREM', prefix .. 'slots:limit:' .. limit, member) end
  local ran = tonumber(seconds) or 0
  charge(queue, owner, ran * 1000 - USED_GUESS)
  place_owner(queue, owner)
  return owner, ran
end

-- Why nothing in a lane may begin, whatever engines are free; empty if it may.
local function hold_of(queue, owner, limit)
  if policy('paused:' .. context_of(queue)) then return 'paused' end
  if room('limit:' .. limit) <= 0 then return 'limit' end
  return room(owner_slot(queue, owner)) <= 0 and 'owner' or ''
end

-- How many could be claimed now, or more where owners have limits.
local function claimable(queue)
  if policy('paused:' .. context_of(queue)) then return 0 end
  local count, limits = 0, redis.call('HGETALL', prefix .. 'limits:' .. queue)
  for i = 1, #limits, 2 do
    if redis.call('EXISTS', turns_key(queue, limits[i])) == 1 then
      local waiting = tonumber(limits[i + 1]) or 0
      count = count + math.min(waiting, math.max(0, room('limit:' .. limits[i])))
    end
  end
  return count
end

-- Return the lane that is first in the turns of a limit; of those that are alike, the one whose first
-- attempt is.
local function first_turn(queue, limit)
  local turns = turns_key(queue, limit)
  while true do
    local first = redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local found, is_placed = nil, true
    for _, owner in ipairs(redis.call('ZRANGEBYSCORE', turns, first[2], first[2], 'LIMIT', 0, 20)) do
      local head = redis.call('ZRANGE', lane_key(queue, owner, limit), 0, 0, 'WITHSCORES')
      if not head[1] or room(owner_slot(queue, owner)) <= 0 then
        place_lane(queue, owner, limit)
        is_placed = false
      elseif not found or tonumber(head[2]) < found.score then
        found = {owner = owner, limit = limit, member = head[1], turn = tonumber(first[2]),
                 score = tonumber(head[2])}
      end
    end
    if found and is_placed then return found end
  end
end

-- Take the next attempt out of a queue; return it with its owner and limit, or nil.
local function take_next(queue)
  if policy('paused:' .. context_of(queue)) then return nil end
  local found = nil
  for _, limit in ipairs(limits_of(queue)) do
    local turn = room('limit:' .. limit) > 0 and first_turn(queue, limit)
    if turn and (not found or turn.turn < found.turn
                 or turn.turn == found.turn and turn.score < found.score) then
      found = turn
    end
  end
  if not found then return nil end
  local floor = 'floor:' .. exact(math.floor(found.score / LEVEL))
  note_used(queue, floor, math.max(used_by(queue, floor), used_by(queue, found.owner)))
  take_out(found.member, queue, found.owner, found.limit)
  return found.member, found.owner, found.limit
end

local function is_lingered_at(queue)
  return redis.call('EXISTS', prefix .. 'lingering:' .. queue) == 1
end

-- Wake a worker that lingers at the queue, if there is something for it; tell whether one was there.
local function wake_one(queue)
  if claimable(queue) == 0 then return true end
  local worker = redis.call('SPOP', prefix .. 'lingering:' .. queue)
  if not worker then return false end
  local wake = prefix .. 'wake:' .. queue .. ':' .. worker
  redis.call('RPUSH', wake, '')
  redis.call('EXPIRE', wake, WAKE_EXPIRY)
  return true
end
